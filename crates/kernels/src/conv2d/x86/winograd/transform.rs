//! The transforms of input, output and gradient, for one vector of tiles in every channel.
//!
//! A row of a vector of tiles is read as quads of four pixels. Shuffles within registers separate
//! them into the tiles' columns. The resulting order of the tiles is the same in every transform,
//! so it cancels.

#![expect(clippy::needless_range_loop, reason = "columns of matrices that are stored by rows")]

use super::tile::{Size, Tile, shifted};
use crate::conv2d::x86::vector::{QUADS, Vector, compile_for_width};

/// Calls a transform for this size of tiles and number of adjacent quads.
macro_rules! for_tiling {
    ($tiling:expr, $module:ident::$transform:ident::<$w:ty, $b:ident>($($arg:expr),* $(,)?)) => {
        match ($tiling.size, $tiling.near) {
            (2, 4) => $module::$transform::<$w, $b, 2, 4, 4>($($arg),*),
            (2, 2) => $module::$transform::<$w, $b, 2, 4, 2>($($arg),*),
            (2, _) => $module::$transform::<$w, $b, 2, 4, 1>($($arg),*),
            (_, 4) => $module::$transform::<$w, $b, 4, 6, 4>($($arg),*),
            (_, 2) => $module::$transform::<$w, $b, 4, 6, 2>($($arg),*),
            _ => $module::$transform::<$w, $b, 4, 6, 1>($($arg),*),
        }
    };
}
pub(super) use for_tiling;

compile_for_width! {
    /// Computes `Bᵀ d B` of a vector of tiles in each of `channels` channels. The source has
    /// the strides `[channel, row]`, the target `[channel, place]`.
    ///
    /// # Safety
    ///
    /// In every channel, eight elements of `N` rows are readable from the start of each quad, and
    /// `N²` vectors from `target` are writable.
    pub(super) unsafe fn inputs<const M: usize, const N: usize, const NEAR: usize>(
        quads: [*const f32; QUADS],
        source: [usize; 2],
        target: *mut f32,
        strides: [usize; 2],
        channels: usize,
    ) where Size<M>: Tile<M, N> = inputs_of
}

/// # Safety
///
/// As for [`inputs`].
#[inline(always)]
unsafe fn inputs_of<
    V: Vector<B>,
    const B: usize,
    const M: usize,
    const N: usize,
    const NEAR: usize,
>(
    mut quads: [*const f32; QUADS],
    [channel, pitch]: [usize; 2],
    target: *mut f32,
    [target_channel, place]: [usize; 2],
    channels: usize,
) where
    Size<M>: Tile<M, N>,
{
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let mut rows = [[V::splat(0.0); N]; N];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = Size::<M>::input::<V, B>(Size::<M>::load_input::<V, B, NEAR>(&shifted(
                    quads,
                    i * pitch,
                )));
            }
            let target = target.add(i * target_channel);
            for j in 0..N {
                let mut column = [V::splat(0.0); N];
                for i in 0..N {
                    column[i] = rows[i][j];
                }
                let column = Size::<M>::input::<V, B>(column);
                store::<V, B, N>(column, target.add(j * place), N * place);
            }
        }
        quads = shifted(quads, channel);
    }
}

compile_for_width! {
    /// Computes `Aᵀ m A + bias` of a vector of tiles in each of `channels` channels. The sums
    /// have the strides `[channel, place]`, the target `[channel, row]`.
    ///
    /// # Safety
    ///
    /// In every channel, `N²` vectors of `sums` are readable, and `M` rows of each quad are
    /// writable. `bias` has an element for each channel.
    pub(super) unsafe fn outputs<const M: usize, const N: usize, const NEAR: usize>(
        sums: *const f32,
        strides: [usize; 2],
        bias: Option<&[f32]>,
        quads: [*mut f32; QUADS],
        target: [usize; 2],
        channels: usize,
    ) where Size<M>: Tile<M, N> = outputs_of
}

/// # Safety
///
/// As for [`outputs`].
#[inline(always)]
unsafe fn outputs_of<
    V: Vector<B>,
    const B: usize,
    const M: usize,
    const N: usize,
    const NEAR: usize,
>(
    sums: *const f32,
    [sums_channel, place]: [usize; 2],
    bias: Option<&[f32]>,
    mut quads: [*mut f32; QUADS],
    [channel, width]: [usize; 2],
    channels: usize,
) where
    Size<M>: Tile<M, N>,
{
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let sums = sums.add(i * sums_channel);
            let mut rows = [[V::splat(0.0); N]; M];
            for j in 0..N {
                let mut column = [V::splat(0.0); N];
                for i in 0..N {
                    column[i] = V::load(sums.add((N * i + j) * place));
                }
                let column = Size::<M>::output::<V, B>(column);
                for i in 0..M {
                    rows[i][j] = column[i];
                }
            }
            let bias = V::splat(match bias {
                Some(bias) => bias[i],
                None => 0.0,
            });
            for row in rows {
                let mut row = Size::<M>::output::<V, B>(row);
                for y in &mut row {
                    *y = V::add(*y, bias);
                }
                Size::<M>::store::<V, B, NEAR>(&quads, row);
                quads = shifted_mut(quads, width);
            }
        }
        quads = shifted_mut(quads, channel.wrapping_sub(M * width));
    }
}

compile_for_width! {
    /// Computes `A g Aᵀ` of a vector of tiles of the output's gradient in each of `channels`
    /// channels, with strides as in [`inputs`]. Quads after the first `count` count as zero.
    ///
    /// # Safety
    ///
    /// In every channel, `M` rows of each quad are readable, and `N²` vectors from `target`
    /// writable.
    pub(super) unsafe fn gradients<const M: usize, const N: usize, const NEAR: usize>(
        quads: [*const f32; QUADS],
        count: usize,
        source: [usize; 2],
        target: *mut f32,
        strides: [usize; 2],
        channels: usize,
    ) where Size<M>: Tile<M, N> = gradients_of
}

/// # Safety
///
/// As for [`gradients`].
#[inline(always)]
unsafe fn gradients_of<
    V: Vector<B>,
    const B: usize,
    const M: usize,
    const N: usize,
    const NEAR: usize,
>(
    mut quads: [*const f32; QUADS],
    count: usize,
    [channel, width]: [usize; 2],
    target: *mut f32,
    [target_channel, place]: [usize; 2],
    channels: usize,
) where
    Size<M>: Tile<M, N>,
{
    /// Elements of a row of all quads.
    const ROW: usize = 4 * QUADS;
    let ragged = count < V::LANES * M / 4;
    let mut copy = [0f32; 4 * ROW];
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let (mut places, mut pitch) = (quads, width);
            if ragged {
                for row in 0..M {
                    for (quad, place) in quads.iter().enumerate().take(count) {
                        let copy = copy[row * ROW + 4 * quad..][..4].as_mut_ptr();
                        copy.copy_from_nonoverlapping(place.add(row * width), 4);
                    }
                }
                for (quad, place) in places.iter_mut().enumerate() {
                    *place = copy.as_ptr().add(4 * quad);
                }
                pitch = ROW;
            }
            let mut rows = [[V::splat(0.0); N]; M];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = Size::<M>::gradient::<V, B>(Size::<M>::load::<V, B, NEAR>(&shifted(
                    places,
                    i * pitch,
                )));
            }
            let target = target.add(i * target_channel);
            for j in 0..N {
                let mut column = [V::splat(0.0); M];
                for i in 0..M {
                    column[i] = rows[i][j];
                }
                let column = Size::<M>::gradient::<V, B>(column);
                store::<V, B, N>(column, target.add(j * place), N * place);
            }
        }
        quads = shifted(quads, channel);
    }
}

/// Stores vectors `stride` elements apart.
///
/// # Safety
///
/// `N` vectors, `stride` apart, are writable.
#[inline(always)]
unsafe fn store<V: Vector<B>, const B: usize, const N: usize>(
    vectors: [V::Register; N],
    target: *mut f32,
    stride: usize,
) {
    for (i, vector) in vectors.into_iter().enumerate() {
        // SAFETY: the caller vouches for these writes.
        unsafe { V::store(target.add(i * stride), vector) };
    }
}

/// Moves quads by `offset`; see [`shifted`].
#[inline(always)]
fn shifted_mut(mut quads: [*mut f32; QUADS], offset: usize) -> [*mut f32; QUADS] {
    for quad in &mut quads {
        *quad = quad.wrapping_add(offset);
    }
    quads
}
