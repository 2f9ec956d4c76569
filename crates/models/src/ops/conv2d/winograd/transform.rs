//! The transforms of input, output, gradient and kernel (the matrices of the module above).
//!
//! Tiles come in vectors: quads of pixels, each of two tiles that are neighbours in a row. Two
//! loads per row of a tile, two columns apart, are split into even and odd columns by shuffles
//! within a register; the order of tiles that results is the same in every transform, so it
//! cancels. `PAIRS` says that every other quad follows right on the one before it.

#![expect(clippy::needless_range_loop, reason = "columns of matrices held by rows")]

use crate::ops::conv2d::width::{QUADS, Width, compile_for_width};

compile_for_width! {
    /// `Bᵀ d B` of a vector of tiles in each of `channels` channels: `[channel, row]` are the
    /// strides of the source, `[channel, place]` those of the target.
    ///
    /// # Safety
    ///
    /// In every channel, from each quad's start, six numbers of four rows are readable (ten from
    /// the first of a pair); sixteen vectors from `target` are writable.
    pub(super) unsafe fn inputs<const PAIRS: bool>(
        quads: [*const f32; QUADS],
        source: [usize; 2],
        target: *mut f32,
        strides: [usize; 2],
        channels: usize,
    ) = inputs_of
}

/// # Safety
///
/// As [`inputs`].
#[inline(always)]
unsafe fn inputs_of<W: Width<B>, const B: usize, const PAIRS: bool>(
    mut quads: [*const f32; QUADS],
    [channel, pitch]: [usize; 2],
    target: *mut f32,
    [target_channel, place]: [usize; 2],
    channels: usize,
) {
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let mut rows = [[W::splat(0.0); 4]; 4];
            for (i, row) in rows.iter_mut().enumerate() {
                let [d0, d1] = W::split(W::load_quads::<PAIRS>(&shifted(quads, i * pitch)));
                let [d2, d3] = W::split(W::load_quads::<PAIRS>(&shifted(quads, i * pitch + 2)));
                *row = [W::sub(d0, d2), W::add(d1, d2), W::sub(d2, d1), W::sub(d1, d3)];
            }
            let target = target.add(i * target_channel);
            for j in 0..4 {
                let [d0, d1, d2, d3] = [rows[0][j], rows[1][j], rows[2][j], rows[3][j]];
                let column = [W::sub(d0, d2), W::add(d1, d2), W::sub(d2, d1), W::sub(d1, d3)];
                store::<W, B>(column, target.add(j * place), 4 * place);
            }
        }
        quads = shifted(quads, channel);
    }
}

compile_for_width! {
    /// `Aᵀ m A + bias` of a vector of tiles in each of `channels` channels: `[channel, place]` are
    /// the strides of the sums, `[channel, row]` those of the target.
    ///
    /// # Safety
    ///
    /// In every channel, sixteen vectors of `sums` are readable, and two rows of each quad are
    /// writable; `bias`, if any, has a number for each.
    pub(super) unsafe fn outputs<const PAIRS: bool>(
        sums: *const f32,
        strides: [usize; 2],
        bias: Option<&[f32]>,
        quads: [*mut f32; QUADS],
        target: [usize; 2],
        channels: usize,
    ) = outputs_of
}

/// # Safety
///
/// As [`outputs`].
#[inline(always)]
unsafe fn outputs_of<W: Width<B>, const B: usize, const PAIRS: bool>(
    sums: *const f32,
    [sums_channel, place]: [usize; 2],
    bias: Option<&[f32]>,
    mut quads: [*mut f32; QUADS],
    [channel, width]: [usize; 2],
    channels: usize,
) {
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let sums = sums.add(i * sums_channel);
            let mut rows = [[W::splat(0.0); 4]; 2];
            for j in 0..4 {
                let m0 = W::load(sums.add(j * place));
                let m1 = W::load(sums.add((4 + j) * place));
                let m2 = W::load(sums.add((8 + j) * place));
                let m3 = W::load(sums.add((12 + j) * place));
                rows[0][j] = W::add(m0, W::add(m1, m2));
                rows[1][j] = W::sub(W::sub(m1, m2), m3);
            }
            let bias = W::splat(match bias {
                Some(bias) => bias[i],
                None => 0.0,
            });
            for [m0, m1, m2, m3] in rows {
                let even = W::add(W::add(m0, bias), W::add(m1, m2));
                let odd = W::add(W::sub(W::sub(m1, m2), m3), bias);
                W::store_quads::<PAIRS>(&quads, W::weave([even, odd]));
                quads = shifted_mut(quads, width);
            }
        }
        quads = shifted_mut(quads, channel.wrapping_sub(2 * width));
    }
}

compile_for_width! {
    /// `A g Aᵀ` of a vector of tiles of the output's gradient in each of `channels` channels;
    /// strides as in [`inputs`]. Only the first `count` quads hold any; the others count as zero.
    ///
    /// # Safety
    ///
    /// In every channel, two rows of each quad are readable, and sixteen vectors from `target`
    /// writable.
    pub(super) unsafe fn gradients<const PAIRS: bool>(
        quads: [*const f32; QUADS],
        count: usize,
        source: [usize; 2],
        target: *mut f32,
        strides: [usize; 2],
        channels: usize,
    ) = gradients_of
}

/// # Safety
///
/// As [`gradients`].
#[inline(always)]
unsafe fn gradients_of<W: Width<B>, const B: usize, const PAIRS: bool>(
    mut quads: [*const f32; QUADS],
    count: usize,
    [channel, mut width]: [usize; 2],
    target: *mut f32,
    [target_channel, place]: [usize; 2],
    channels: usize,
) {
    /// Numbers of all quads.
    const ROW: usize = 4 * QUADS;
    let mut copy = [0f32; 2 * ROW];
    let source_width = width;
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let mut places = quads;
            if count < W::LANES / 2 {
                for row in 0..2 {
                    for (quad, place) in quads.iter().enumerate().take(count) {
                        let copy = copy[row * ROW + 4 * quad..][..4].as_mut_ptr();
                        copy.copy_from_nonoverlapping(place.add(row * source_width), 4);
                    }
                }
                for (quad, place) in places.iter_mut().enumerate() {
                    *place = copy.as_ptr().add(4 * quad);
                }
                width = ROW;
            }
            let zero = W::splat(0.0);
            let mut rows = [[zero; 4]; 2];
            for (i, row) in rows.iter_mut().enumerate() {
                let [g0, g1] = W::split(W::load_quads::<PAIRS>(&shifted(places, i * width)));
                *row = [g0, W::add(g0, g1), W::sub(g0, g1), W::sub(zero, g1)];
            }
            let target = target.add(i * target_channel);
            for j in 0..4 {
                let (g0, g1) = (rows[0][j], rows[1][j]);
                let column = [g0, W::add(g0, g1), W::sub(g0, g1), W::sub(zero, g1)];
                store::<W, B>(column, target.add(j * place), 4 * place);
            }
        }
        quads = shifted(quads, channel);
    }
}

/// # Safety
///
/// Four vectors, `stride` apart, are writable.
#[inline(always)]
unsafe fn store<W: Width<B>, const B: usize>(
    vectors: [W::Vector; 4],
    target: *mut f32,
    stride: usize,
) {
    for (i, vector) in vectors.into_iter().enumerate() {
        // SAFETY: the caller vouches for these writes.
        unsafe { W::store(target.add(i * stride), vector) };
    }
}

/// All places `offset` numbers on; the last channel's may leave the buffer, and are not used.
#[inline(always)]
fn shifted(mut quads: [*const f32; QUADS], offset: usize) -> [*const f32; QUADS] {
    for quad in &mut quads {
        *quad = quad.wrapping_add(offset);
    }
    quads
}

/// As [`shifted`].
#[inline(always)]
fn shifted_mut(mut quads: [*mut f32; QUADS], offset: usize) -> [*mut f32; QUADS] {
    for quad in &mut quads {
        *quad = quad.wrapping_add(offset);
    }
    quads
}
