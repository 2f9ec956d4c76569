//! The matrix products of the sixteen places.

use crate::conv2d::x86::vector::{Run, Sum, VECTORS, Width, accumulate, compile_for_width};

compile_for_width! {
    /// `sums[o, t] = Σ_c weights[o, c] · tiles[c, t]` for `count` vectors `t`.
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
/// As [`block`].
#[inline(always)]
unsafe fn block_of<W: Width<B>, const B: usize>(
    weights: &[f32],
    tiles: &[f32],
    sums: &mut [f32],
    [blocks, inputs, row]: [usize; 3],
    count: usize,
) {
    for vector in (0..count).step_by(VECTORS) {
        let tiles = tiles[vector * W::LANES..].as_ptr();
        for block in 0..blocks {
            let weights = weights[block * inputs * B..].as_ptr();
            let sums = sums[block * B * row + vector * W::LANES..].as_mut_ptr();
            // SAFETY: the caller vouches for the matrices.
            unsafe {
                match VECTORS.min(count - vector) {
                    1 => few::<W, B, 1>(weights, tiles, sums, inputs, row),
                    2 => few::<W, B, 2>(weights, tiles, sums, inputs, row),
                    _ => full::<W, B>(weights, tiles, sums, inputs, row),
                }
            }
        }
    }
}

/// # Safety
///
/// As [`block`], for one block and [`VECTORS`] vectors.
#[inline(always)]
unsafe fn full<W: Width<B>, const B: usize>(
    weights: *const f32,
    tiles: *const f32,
    sums: *mut f32,
    inputs: usize,
    row: usize,
) {
    let sum = Sum { channels: inputs, channel_stride: row, row_stride: 0 };
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let mut acc = [[W::splat(0.0); VECTORS]; B];
        let x = [tiles, tiles.add(W::LANES), tiles.add(2 * W::LANES)];
        W::accumulate::<1>(&mut acc, weights, x, sum);
        store::<W, B, VECTORS>(&acc, sums, row);
    }
}

/// # Safety
///
/// As [`block`], for one block and `N` vectors.
#[inline(always)]
unsafe fn few<W: Width<B>, const B: usize, const N: usize>(
    weights: *const f32,
    tiles: *const f32,
    sums: *mut f32,
    inputs: usize,
    row: usize,
) {
    let sum = Sum { channels: inputs, channel_stride: row, row_stride: 0 };
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let mut acc = [[W::splat(0.0); N]; B];
        let mut x = [tiles; N];
        for (q, x) in x.iter_mut().enumerate() {
            *x = tiles.add(q * W::LANES);
        }
        accumulate::<W, B, 1, N>(&mut acc, weights, x, sum);
        store::<W, B, N>(&acc, sums, row);
    }
}

/// # Safety
///
/// `sums` is writable as `B` rows of `N` vectors.
#[inline(always)]
unsafe fn store<W: Width<B>, const B: usize, const N: usize>(
    acc: &[[W::Vector; N]; B],
    sums: *mut f32,
    row: usize,
) {
    for (r, acc) in acc.iter().enumerate() {
        for (q, acc) in acc.iter().enumerate() {
            // SAFETY: the caller vouches for these writes.
            unsafe { W::store(sums.add(r * row + q * W::LANES), *acc) };
        }
    }
}

compile_for_width! {
    /// `sums[block, c, r] += Σ_t grads[B block + r, t] · tiles[c, t]` over `count` vectors `t`.
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
/// As [`outer`].
#[inline(always)]
unsafe fn outer_of<W: Width<B>, const B: usize>(
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
            unsafe { outer_tile::<W, B>(grads, &tiles[three * VECTORS * row..], row, count, sums) };
        }
    }
}

/// [`outer`] of `B` rows of `grads` and three of `tiles`.
///
/// # Safety
///
/// As there; `target` holds `3 B` numbers.
#[inline(always)]
unsafe fn outer_tile<W: Width<B>, const B: usize>(
    grads: &[f32],
    tiles: &[f32],
    row: usize,
    count: usize,
    target: &mut [f32],
) {
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let mut acc = [[W::splat(0.0); B]; VECTORS];
        let tiles = tiles.as_ptr();
        let x = [tiles, tiles.add(row), tiles.add(2 * row)];
        let run = Run { rows: 1, vectors: count, gaps: [0, 0] };
        W::multiply(&mut acc, grads.as_ptr(), row, x, run);
        for (acc, target) in acc.iter().zip(target.chunks_exact_mut(B)) {
            for (target, total) in target.iter_mut().zip(W::totals(acc)) {
                *target += total;
            }
        }
    }
}
