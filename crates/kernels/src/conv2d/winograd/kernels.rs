//! The transforms of kernels, several kernels side by side: `G g Gᵀ`, and its transpose `Gᵀ u G`
//! that the weight's gradient goes through.

use super::tile::{Size, Tile, shifted};
use super::tiling::{MAX_PLACES, places_of};
use crate::conv2d::weight::Weight;
use crate::conv2d::width::{QUADS, Width, compile_for_width};

/// Numbers of a kernel.
const TAPS: usize = 9;
/// Kernels that are transformed back side by side.
const LANES: usize = 16;

/// `Gᵀ u G`.
#[inline(always)]
fn backward<const L: usize, const M: usize, const N: usize>(u: &[[f32; L]]) -> [[f32; L]; TAPS]
where
    Size<M>: Tile<M, N>,
{
    let mut columns = [[[0.0; L]; 3]; N];
    for (j, column) in columns.iter_mut().enumerate() {
        *column = Size::<M>::kernel_back(std::array::from_fn(|i| &u[N * i + j]));
    }
    let mut taps = [[0.0; L]; TAPS];
    for i in 0..3 {
        let row = Size::<M>::kernel_back(std::array::from_fn(|j| &columns[j][i]));
        taps[3 * i..3 * i + 3].copy_from_slice(&row);
    }
    taps
}

/// `Gᵀ u G` for tiles of `size`.
#[inline(always)]
fn backward_of<const L: usize>(size: usize, u: &[[f32; L]]) -> [[f32; L]; TAPS] {
    match size {
        2 => backward::<L, 2, 4>(u),
        _ => backward::<L, 4, 6>(u),
    }
}

compile_for_width! {
    /// Writes `G g Gᵀ` of the kernels to a block of `B` output channels to `target`, as
    /// `[places, I, B]`, for tiles of `M` by `M`; the places begin `place_len` apart. Channels beyond
    /// the last are zero.
    ///
    /// # Safety
    ///
    /// These places are valid for writing.
    pub(super) unsafe fn transform<const M: usize, const N: usize>(
        weight: &Weight<'_>,
        block: usize,
        target: *mut f32,
        place_len: usize,
    ) where Size<M>: Tile<M, N> = transform_of
}

/// A vector holds the kernels from two channels to the block.
///
/// # Safety
///
/// As [`transform`].
#[inline(always)]
unsafe fn transform_of<W: Width<B>, const B: usize, const M: usize, const N: usize>(
    weight: &Weight<'_>,
    block: usize,
    target: *mut f32,
    place_len: usize,
) where
    Size<M>: Tile<M, N>,
{
    let nothing = [0f32; TAPS];
    for input in (0..weight.inputs()).step_by(2) {
        let held = (2 * B).min((weight.inputs() - input) * B);
        let mut kernels = [nothing.as_ptr(); QUADS];
        for lane in 0..held {
            let output = block * B + lane % B;
            if output < weight.outputs() {
                // A transposition of quads takes a number to this place from that one.
                let (quarter, from) = (lane / 4, lane % 4);
                kernels[W::LANES / 4 * from + quarter] =
                    weight.kernel_3x3(output, input + lane / B).as_ptr();
            }
        }
        // SAFETY: each pointer is of nine numbers; the caller vouches for all places.
        unsafe {
            let g = taps::<W, B>(&kernels, weight.is_rotated());
            let mut columns = [[W::splat(0.0); N]; 3];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = Size::<M>::kernel::<W, B>([g[j], g[3 + j], g[6 + j]]);
            }
            let target = target.add(input * B);
            let [first, second, third] = columns;
            for (i, ((a, b), c)) in first.into_iter().zip(second).zip(third).enumerate() {
                let row = Size::<M>::kernel::<W, B>([a, b, c]);
                for (j, place) in row.into_iter().enumerate() {
                    let target = target.add((N * i + j) * place_len);
                    if held == W::LANES {
                        W::store(target, place)
                    } else {
                        W::store_first(target, held, place)
                    }
                }
            }
        }
    }
}

/// The nine numbers of a vector of kernels, from the last one on if they are `rotated`.
///
/// # Safety
///
/// Nine numbers are readable from each pointer.
#[inline(always)]
unsafe fn taps<W: Width<B>, const B: usize>(
    kernels: &[*const f32; QUADS],
    rotated: bool,
) -> [W::Vector; TAPS] {
    // SAFETY: passed on to the caller.
    unsafe {
        let [g0, g1, g2, g3] = W::transpose(W::load_quads::<1, 4>(kernels));
        let [g4, ..] = W::transpose(W::load_quads::<1, 4>(&shifted(*kernels, 4)));
        let [g5, g6, g7, g8] = W::transpose(W::load_quads::<1, 4>(&shifted(*kernels, 5)));
        if rotated {
            [g8, g7, g6, g5, g4, g3, g2, g1, g0]
        } else {
            [g0, g1, g2, g3, g4, g5, g6, g7, g8]
        }
    }
}

compile_for_width! {
    /// Writes `Gᵀ u G` to the kernels `[I, 9]` of one output channel, where number `i` of place `p`
    /// is `sums[p · place_len + i]`.
    ///
    /// # Safety
    ///
    /// None but those of the width.
    pub(super) unsafe fn transform_back(
        size: usize,
        sums: &[f32],
        place_len: usize,
        kernels: &mut [f32],
    ) = transform_back_of
}

/// # Safety
///
/// As [`transform_back`].
#[inline(always)]
unsafe fn transform_back_of<W: Width<B>, const B: usize>(
    size: usize,
    sums: &[f32],
    place_len: usize,
    kernels: &mut [f32],
) {
    for (i, kernels) in kernels.chunks_mut(LANES * TAPS).enumerate() {
        let held = kernels.len() / TAPS;
        let mut u = [[0f32; LANES]; MAX_PLACES];
        let u = &mut u[..places_of(size)];
        for (place, u) in u.iter_mut().enumerate() {
            u[..held].copy_from_slice(&sums[place * place_len + i * LANES..][..held]);
        }
        let taps = backward_of(size, u);
        for (lane, kernel) in kernels.chunks_exact_mut(TAPS).enumerate() {
            for (tap, number) in kernel.iter_mut().enumerate() {
                *number = taps[tap][lane];
            }
        }
    }
}

compile_for_width! {
    /// Writes `Gᵀ u G` to the kernels `[O', I, 9]` of a block of up to `B` output channels, where
    /// `u` is the sum of `parts`, each `[places, …, B]` with the block's first number at `first` and
    /// places `place_len` apart.
    ///
    /// # Safety
    ///
    /// None but those of the width.
    pub(super) unsafe fn transform_parts_back(
        size: usize,
        parts: &[f32],
        first: usize,
        place_len: usize,
        kernels: &mut [f32],
        inputs: usize,
    ) = transform_parts_back_of
}

/// # Safety
///
/// As [`transform_parts_back`].
#[inline(always)]
unsafe fn transform_parts_back_of<W: Width<B>, const B: usize>(
    size: usize,
    parts: &[f32],
    first: usize,
    place_len: usize,
    kernels: &mut [f32],
    inputs: usize,
) {
    for input in 0..inputs {
        let mut u = [[0f32; B]; MAX_PLACES];
        let u = &mut u[..places_of(size)];
        for part in parts.chunks_exact(places_of(size) * place_len) {
            for (place, u) in u.iter_mut().enumerate() {
                let numbers = &part[place * place_len + first + input * B..][..B];
                for (u, number) in u.iter_mut().zip(numbers) {
                    *u += number;
                }
            }
        }
        let taps = backward_of(size, u);
        for (lane, kernels) in kernels.chunks_exact_mut(inputs * TAPS).enumerate() {
            for (tap, number) in kernels[input * TAPS..][..TAPS].iter_mut().enumerate() {
                *number = taps[tap][lane];
            }
        }
    }
}
