//! The matrix products of the sixteen places.

use std::arch::x86_64::*;

use crate::ops::conv2d::padded::LANES;
use crate::ops::conv2d::tile::{Sum, VECTORS, accumulate, accumulate_few};
use crate::ops::conv2d::weight::BLOCK;

/// `sums[o, t] = Σ_c weights[o, c] · tiles[c, t]` for `count` vectors `t`.
///
/// # Safety
///
/// The processor has AVX2 and FMA. With `size = [blocks, inputs, row]`: `weights` holds
/// `[blocks, inputs, 4]`, `tiles` `[inputs, row]`, `sums` `[4 · blocks, row]`, and `count` vectors
/// fit in a row.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn block(
    weights: &[f32],
    tiles: &[f32],
    sums: &mut [f32],
    [blocks, inputs, row]: [usize; 3],
    count: usize,
) {
    for vector in (0..count).step_by(VECTORS) {
        let tiles = tiles[vector * LANES..].as_ptr();
        for block in 0..blocks {
            let weights = weights[block * inputs * BLOCK..].as_ptr();
            let sums = sums[block * BLOCK * row + vector * LANES..].as_mut_ptr();
            // SAFETY: the caller vouches for the matrices.
            unsafe {
                match VECTORS.min(count - vector) {
                    1 => few::<1>(weights, tiles, sums, inputs, row),
                    2 => few::<2>(weights, tiles, sums, inputs, row),
                    _ => full(weights, tiles, sums, inputs, row),
                }
            }
        }
    }
}

/// # Safety
///
/// As [`block`], for one block and [`VECTORS`] vectors.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn full(weights: *const f32, tiles: *const f32, sums: *mut f32, inputs: usize, row: usize) {
    let mut acc = [[_mm256_setzero_ps(); VECTORS]; BLOCK];
    let sum = Sum { channels: inputs, channel_stride: row, row_stride: 0 };
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let x = [tiles, tiles.add(LANES), tiles.add(2 * LANES)];
        accumulate::<1>(&mut acc, weights, x, sum);
        store(&acc, sums, row);
    }
}

/// # Safety
///
/// As [`block`], for one block and `N` vectors.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn few<const N: usize>(
    weights: *const f32,
    tiles: *const f32,
    sums: *mut f32,
    inputs: usize,
    row: usize,
) {
    let mut acc = [[_mm256_setzero_ps(); N]; BLOCK];
    let sum = Sum { channels: inputs, channel_stride: row, row_stride: 0 };
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let x = std::array::from_fn(|q| tiles.add(q * LANES));
        accumulate_few::<1, N>(&mut acc, weights, x, sum);
        store(&acc, sums, row);
    }
}

/// # Safety
///
/// The processor has AVX2; `sums` is writable as four rows of `N` vectors.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn store<const N: usize>(acc: &[[__m256; N]; BLOCK], sums: *mut f32, row: usize) {
    for (r, acc) in acc.iter().enumerate() {
        for (q, acc) in acc.iter().enumerate() {
            // SAFETY: the caller vouches for these writes.
            unsafe { _mm256_storeu_ps(sums.add(r * row + q * LANES), *acc) };
        }
    }
}

/// `sums[block, c, r] += Σ_t grads[4 block + r, t] · tiles[c, t]` over `count` vectors `t`.
///
/// # Safety
///
/// The processor has AVX2 and FMA. With `size = [blocks, columns, row]`: `grads` holds
/// `[4 · blocks, row]`, `tiles` `[columns, row]`, `sums` `[blocks, columns, 4]`; `columns` is a
/// multiple of three, and `count` vectors fit in a row.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn outer(
    grads: &[f32],
    tiles: &[f32],
    sums: &mut [f32],
    [blocks, columns, row]: [usize; 3],
    count: usize,
) {
    for (block, sums) in sums.chunks_exact_mut(columns * BLOCK).enumerate().take(blocks) {
        let grads = &grads[block * BLOCK * row..];
        for (three, sums) in sums.chunks_exact_mut(VECTORS * BLOCK).enumerate() {
            // SAFETY: the caller vouches for the matrices.
            unsafe { outer_tile(grads, &tiles[three * VECTORS * row..], row, count, sums) };
        }
    }
}

/// [`outer`] of four rows of `grads` and three of `tiles`.
///
/// # Safety
///
/// As there; `target` holds twelve numbers.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn outer_tile(grads: &[f32], tiles: &[f32], row: usize, count: usize, target: &mut [f32]) {
    let mut acc = [[_mm256_setzero_ps(); VECTORS]; BLOCK];
    for t in 0..count {
        // SAFETY: the caller vouches for the matrices.
        unsafe {
            let x: [__m256; VECTORS] =
                std::array::from_fn(|q| _mm256_loadu_ps(tiles.as_ptr().add(q * row + t * LANES)));
            for (r, acc) in acc.iter_mut().enumerate() {
                let g = _mm256_loadu_ps(grads.as_ptr().add(r * row + t * LANES));
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc = _mm256_fmadd_ps(g, x, *acc);
                }
            }
        }
    }
    for q in 0..VECTORS {
        let ab = _mm256_hadd_ps(acc[0][q], acc[1][q]);
        let cd = _mm256_hadd_ps(acc[2][q], acc[3][q]);
        let sums = _mm256_hadd_ps(ab, cd);
        let sums = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
        let target = target[q * BLOCK..][..BLOCK].as_mut_ptr();
        // SAFETY: the slice holds four numbers.
        unsafe { _mm_storeu_ps(target, _mm_add_ps(_mm_loadu_ps(target), sums)) };
    }
}
