//! The transforms of kernels, several kernels side by side: `G g Gᵀ`, and its transpose `Gᵀ u G`
//! that the weight's gradient goes through.

use super::PLACES;
use crate::ops::conv2d::weight::Weight;
use crate::ops::conv2d::width::{Width, compile_for_width};

/// Numbers of a kernel.
const TAPS: usize = 9;
/// Kernels that are transformed back side by side.
const LANES: usize = 16;

/// `G` times a column of three.
#[inline(always)]
fn expand<const N: usize>(a: &[f32; N], b: &[f32; N], c: &[f32; N]) -> [[f32; N]; 4] {
    let mut rows = [*a, [0.0; N], [0.0; N], *c];
    for i in 0..N {
        let (outer, inner) = (0.5 * (a[i] + c[i]), 0.5 * b[i]);
        rows[1][i] = outer + inner;
        rows[2][i] = outer - inner;
    }
    rows
}

/// `Gᵀ` times a column of four.
#[inline(always)]
fn contract<const N: usize>([a, b, c, d]: [&[f32; N]; 4]) -> [[f32; N]; 3] {
    let mut rows = [[0.0; N]; 3];
    for i in 0..N {
        let (sum, difference) = (0.5 * (b[i] + c[i]), 0.5 * (b[i] - c[i]));
        rows[0][i] = a[i] + sum;
        rows[1][i] = difference;
        rows[2][i] = sum + d[i];
    }
    rows
}

/// `G g Gᵀ`.
#[inline(always)]
fn forward<const N: usize>(g: &[[f32; N]; TAPS]) -> [[f32; N]; PLACES] {
    let mut columns = [[[0.0; N]; 4]; 3];
    for (j, column) in columns.iter_mut().enumerate() {
        *column = expand(&g[j], &g[3 + j], &g[6 + j]);
    }
    let mut places = [[0.0; N]; PLACES];
    for i in 0..4 {
        let row = expand(&columns[0][i], &columns[1][i], &columns[2][i]);
        places[4 * i..4 * i + 4].copy_from_slice(&row);
    }
    places
}

/// `Gᵀ u G`.
#[inline(always)]
fn backward<const N: usize>(u: &[[f32; N]; PLACES]) -> [[f32; N]; TAPS] {
    let mut columns = [[[0.0; N]; 3]; 4];
    for (j, column) in columns.iter_mut().enumerate() {
        *column = contract([&u[j], &u[4 + j], &u[8 + j], &u[12 + j]]);
    }
    let mut taps = [[0.0; N]; TAPS];
    for i in 0..3 {
        let row = contract([&columns[0][i], &columns[1][i], &columns[2][i], &columns[3][i]]);
        taps[3 * i..3 * i + 3].copy_from_slice(&row);
    }
    taps
}

compile_for_width! {
    /// Writes `G g Gᵀ` of the kernels to a block of `B` output channels to `target`, as
    /// `[16, I, B]`; the places begin `place_len` apart. Channels beyond the last are zero.
    ///
    /// # Safety
    ///
    /// These places are valid for writing.
    pub(super) unsafe fn transform(
        weight: &Weight<'_>,
        block: usize,
        target: *mut f32,
        place_len: usize,
    ) = transform_of
}

/// # Safety
///
/// As [`transform`].
#[inline(always)]
unsafe fn transform_of<W: Width<B>, const B: usize>(
    weight: &Weight<'_>,
    block: usize,
    target: *mut f32,
    place_len: usize,
) {
    let held = B.min(weight.outputs() - block * B);
    for input in 0..weight.inputs() {
        let mut g = [[0f32; B]; TAPS];
        for lane in 0..held {
            let kernel = weight.kernel_3x3(block * B + lane, input);
            for (g, number) in g.iter_mut().zip(kernel) {
                g[lane] = number;
            }
        }
        for (place, numbers) in forward(&g).iter().enumerate() {
            // SAFETY: the caller vouches for all places.
            unsafe {
                let at = target.add(place * place_len + input * B);
                at.copy_from_nonoverlapping(numbers.as_ptr(), B);
            }
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
    pub(super) unsafe fn transform_back(sums: &[f32], place_len: usize, kernels: &mut [f32])
        = transform_back_of
}

/// # Safety
///
/// As [`transform_back`].
#[inline(always)]
unsafe fn transform_back_of<W: Width<B>, const B: usize>(
    sums: &[f32],
    place_len: usize,
    kernels: &mut [f32],
) {
    for (i, kernels) in kernels.chunks_mut(LANES * TAPS).enumerate() {
        let held = kernels.len() / TAPS;
        let mut u = [[0f32; LANES]; PLACES];
        for (place, u) in u.iter_mut().enumerate() {
            u[..held].copy_from_slice(&sums[place * place_len + i * LANES..][..held]);
        }
        let taps = backward(&u);
        for (lane, kernel) in kernels.chunks_exact_mut(TAPS).enumerate() {
            for (tap, number) in kernel.iter_mut().enumerate() {
                *number = taps[tap][lane];
            }
        }
    }
}

compile_for_width! {
    /// Writes `Gᵀ u G` to the kernels `[O', I, 9]` of a block of up to `B` output channels, where
    /// `u` is the sum of `parts`, each `[16, …, B]` with the block's first number at `first` and
    /// places `place_len` apart.
    ///
    /// # Safety
    ///
    /// None but those of the width.
    pub(super) unsafe fn transform_parts_back(
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
    parts: &[f32],
    first: usize,
    place_len: usize,
    kernels: &mut [f32],
    inputs: usize,
) {
    for input in 0..inputs {
        let mut u = [[0f32; B]; PLACES];
        for part in parts.chunks_exact(PLACES * place_len) {
            for (place, u) in u.iter_mut().enumerate() {
                let numbers = &part[place * place_len + first + input * B..][..B];
                for (u, number) in u.iter_mut().zip(numbers) {
                    *u += number;
                }
            }
        }
        let taps = backward(&u);
        for (lane, kernels) in kernels.chunks_exact_mut(inputs * TAPS).enumerate() {
            for (tap, number) in kernels[input * TAPS..][..TAPS].iter_mut().enumerate() {
                *number = taps[tap][lane];
            }
        }
    }
}
