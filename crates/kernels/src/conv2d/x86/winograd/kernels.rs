//! The transforms of kernels, several kernels at a time: `G g Gᵀ`, and its transpose `Gᵀ u G` for
//! the gradient with respect to the weight.

use super::tile::{Size, Tile, shifted};
use super::tiling::{MAX_PLACES, places_of};
use crate::conv2d::weight::Weight;
use crate::conv2d::x86::vector::{QUADS, Vector, compile_for_width};

/// Elements of a kernel.
const TAPS: usize = 9;
/// Number of kernels whose gradients are transformed at a time.
const LANES: usize = 16;

/// Computes `Gᵀ u G`.
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

/// Computes `Gᵀ u G` for tiles of `size`.
#[inline(always)]
fn backward_of<const L: usize>(size: usize, u: &[[f32; L]]) -> [[f32; L]; TAPS] {
    match size {
        2 => backward::<L, 2, 4>(u),
        _ => backward::<L, 4, 6>(u),
    }
}

compile_for_width! {
    /// Writes `G g Gᵀ` of the kernels of a block of `B` output channels to `target`, as
    /// `[places, I, B]`, for tiles of `M` by `M`. Places are `place_len` elements apart. Channels
    /// beyond the last are zero.
    ///
    /// # Safety
    ///
    /// These places are writable.
    pub(super) unsafe fn transform<const M: usize, const N: usize>(
        weight: &Weight<'_>,
        block: usize,
        target: *mut f32,
        place_len: usize,
    ) where Size<M>: Tile<M, N> = transform_of
}

/// Transforms the kernels of two input channels at a time, one vector of kernels.
///
/// # Safety
///
/// As for [`transform`].
#[inline(always)]
unsafe fn transform_of<V: Vector<B>, const B: usize, const M: usize, const N: usize>(
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
                // The transposition of quads moves an element from there to here.
                let (quarter, from) = (lane / 4, lane % 4);
                kernels[V::LANES / 4 * from + quarter] =
                    weight.kernel_3x3(output, input + lane / B).as_ptr();
            }
        }
        // SAFETY: nine elements follow each pointer; the caller vouches for all places.
        unsafe {
            let g = taps::<V, B>(&kernels, weight.is_rotated());
            let mut columns = [[V::splat(0.0); N]; 3];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = Size::<M>::kernel::<V, B>([g[j], g[3 + j], g[6 + j]]);
            }
            let target = target.add(input * B);
            let [first, second, third] = columns;
            for (i, ((a, b), c)) in first.into_iter().zip(second).zip(third).enumerate() {
                let row = Size::<M>::kernel::<V, B>([a, b, c]);
                for (j, place) in row.into_iter().enumerate() {
                    let target = target.add((N * i + j) * place_len);
                    if held == V::LANES {
                        V::store(target, place)
                    } else {
                        V::store_first(target, held, place)
                    }
                }
            }
        }
    }
}

/// Loads the nine elements of a vector of kernels, in reverse order if they are `rotated`.
///
/// # Safety
///
/// Nine elements are readable from each pointer.
#[inline(always)]
unsafe fn taps<V: Vector<B>, const B: usize>(
    kernels: &[*const f32; QUADS],
    rotated: bool,
) -> [V::Register; TAPS] {
    // SAFETY: passed on to the caller.
    unsafe {
        let [g0, g1, g2, g3] = V::transpose(V::load_quads::<1, 4>(kernels));
        let [g4, ..] = V::transpose(V::load_quads::<1, 4>(&shifted(*kernels, 4)));
        let [g5, g6, g7, g8] = V::transpose(V::load_quads::<1, 4>(&shifted(*kernels, 5)));
        if rotated {
            [g8, g7, g6, g5, g4, g3, g2, g1, g0]
        } else {
            [g0, g1, g2, g3, g4, g5, g6, g7, g8]
        }
    }
}

compile_for_width! {
    /// Writes `Gᵀ u G` to the kernels `[I, 9]` of one output channel, where element `i` of place
    /// `p` is `sums[p · place_len + i]`.
    ///
    /// # Safety
    ///
    /// As for the vector's functions.
    pub(super) unsafe fn transform_back(
        size: usize,
        sums: &[f32],
        place_len: usize,
        kernels: &mut [f32],
    ) = transform_back_of
}

/// # Safety
///
/// As for [`transform_back`].
#[inline(always)]
unsafe fn transform_back_of<V: Vector<B>, const B: usize>(
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
            for (tap, element) in kernel.iter_mut().enumerate() {
                *element = taps[tap][lane];
            }
        }
    }
}

compile_for_width! {
    /// Writes `Gᵀ u G` to the kernels `[O', I, 9]` of a block of up to `B` output channels, where
    /// `u` is the sum of `parts`. Each part is `[places, …, B]`, with the block's first element at
    /// `first` and places `place_len` apart.
    ///
    /// # Safety
    ///
    /// As for the vector's functions.
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
/// As for [`transform_parts_back`].
#[inline(always)]
unsafe fn transform_parts_back_of<V: Vector<B>, const B: usize>(
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
                let elements = &part[place * place_len + first + input * B..][..B];
                for (u, element) in u.iter_mut().zip(elements) {
                    *u += element;
                }
            }
        }
        let taps = backward_of(size, u);
        for (lane, kernels) in kernels.chunks_exact_mut(inputs * TAPS).enumerate() {
            for (tap, element) in kernels[input * TAPS..][..TAPS].iter_mut().enumerate() {
                *element = taps[tap][lane];
            }
        }
    }
}
