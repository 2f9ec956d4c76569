//! The matrix products of the places.

use crate::conv2d::x86::run::Run;
use crate::conv2d::x86::sums::{Sum, accumulate};
use crate::conv2d::x86::vector::{VECTORS, Vector, compile_for_width};

compile_for_width! {
    /// Computes `sums[o, t] = Σ_c weights[o, c] · tiles[c, t]` for `count` vectors `t`.
    ///
    /// # Safety
    ///
    /// With `size = [blocks, inputs, row]`: `weights` holds `[blocks, inputs, B]`, `tiles`
    /// `[inputs, row]`, `sums` `[B · blocks, row]`, and `count` vectors fit in a row.
    pub(super) unsafe fn block(
        weights: &[f32],
        tiles: &[f32],
        sums: &mut [f32],
        size: [usize; 3],
        count: usize,
    ) = block_of
}

/// # Safety
///
/// As for [`block`].
#[inline(always)]
unsafe fn block_of<V: Vector<B>, const B: usize>(
    weights: &[f32],
    tiles: &[f32],
    sums: &mut [f32],
    [blocks, inputs, row]: [usize; 3],
    count: usize,
) {
    for vector in (0..count).step_by(VECTORS) {
        let tiles = tiles[vector * V::LANES..].as_ptr();
        for block in 0..blocks {
            let weights = weights[block * inputs * B..].as_ptr();
            let sums = sums[block * B * row + vector * V::LANES..].as_mut_ptr();
            // SAFETY: the caller vouches for the matrices.
            unsafe {
                match VECTORS.min(count - vector) {
                    1 => tile::<V, B, 1>(weights, tiles, sums, inputs, row),
                    2 => tile::<V, B, 2>(weights, tiles, sums, inputs, row),
                    _ => tile::<V, B, VECTORS>(weights, tiles, sums, inputs, row),
                }
            }
        }
    }
}

/// Computes the products of one block and `N` vectors.
///
/// # Safety
///
/// As for [`block`].
#[inline(always)]
unsafe fn tile<V: Vector<B>, const B: usize, const N: usize>(
    weights: *const f32,
    tiles: *const f32,
    sums: *mut f32,
    inputs: usize,
    row: usize,
) {
    let sum = Sum { channels: inputs, channel_stride: row, row_stride: 0 };
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let mut acc = [[V::splat(0.0); N]; B];
        let x = std::array::from_fn(|q| tiles.add(q * V::LANES));
        accumulate::<V, B, 1, N>(&mut acc, weights, x, sum);
        store::<V, B, N>(&acc, sums, row);
    }
}

/// Stores a tile.
///
/// # Safety
///
/// `sums` is writable as `B` rows of `N` vectors.
#[inline(always)]
unsafe fn store<V: Vector<B>, const B: usize, const N: usize>(
    acc: &[[V::Register; N]; B],
    sums: *mut f32,
    row: usize,
) {
    for (r, acc) in acc.iter().enumerate() {
        for (q, acc) in acc.iter().enumerate() {
            // SAFETY: the caller vouches for these writes.
            unsafe { V::store(sums.add(r * row + q * V::LANES), *acc) };
        }
    }
}

compile_for_width! {
    /// Adds `Σ_t grads[B block + r, t] · tiles[c, t]` over `count` vectors `t` to
    /// `sums[block, c, r]`.
    ///
    /// # Safety
    ///
    /// With `size = [blocks, columns, row]`: `grads` holds `[B · blocks, row]`, `tiles`
    /// `[columns, row]`, `sums` `[blocks, columns, B]`; `columns` is a multiple of three, and
    /// `count` vectors fit in a row.
    pub(super) unsafe fn outer(
        grads: &[f32],
        tiles: &[f32],
        sums: &mut [f32],
        size: [usize; 3],
        count: usize,
    ) = outer_of
}

/// # Safety
///
/// As for [`outer`].
#[inline(always)]
unsafe fn outer_of<V: Vector<B>, const B: usize>(
    grads: &[f32],
    tiles: &[f32],
    sums: &mut [f32],
    [blocks, columns, row]: [usize; 3],
    count: usize,
) {
    for (block, sums) in sums.chunks_exact_mut(columns * B).enumerate().take(blocks) {
        let grads = &grads[block * B * row..];
        for (three, sums) in sums.chunks_exact_mut(VECTORS * B).enumerate() {
            // SAFETY: the caller vouches for the matrices.
            unsafe { outer_tile::<V, B>(grads, &tiles[three * VECTORS * row..], row, count, sums) };
        }
    }
}

/// [`outer`] for `B` rows of `grads` and three rows of `tiles`.
///
/// # Safety
///
/// As for [`outer`]; `target` holds `3 B` elements.
#[inline(always)]
unsafe fn outer_tile<V: Vector<B>, const B: usize>(
    grads: &[f32],
    tiles: &[f32],
    row: usize,
    count: usize,
    target: &mut [f32],
) {
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let mut acc = [[V::splat(0.0); B]; VECTORS];
        let tiles = tiles.as_ptr();
        let x = [tiles, tiles.add(row), tiles.add(2 * row)];
        let run = Run { rows: 1, vectors: count, grad_gap: 0, x_gap: 0 };
        V::multiply(&mut acc, grads.as_ptr(), row, x, run);
        for (acc, target) in acc.iter().zip(target.chunks_exact_mut(B)) {
            for (target, total) in target.iter_mut().zip(V::totals(acc)) {
                *target += total;
            }
        }
    }
}
