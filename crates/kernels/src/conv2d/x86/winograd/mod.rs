//! Winograd's convolutions F(2×2, 3×3) and F(4×4, 3×3) (Lavin and Gray 2016, arXiv:1509.09308).
//!
//! Every M×M tile of the output is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of a kernel `g` and the tile `d` of
//! the input around it, M + 2 pixels wide: 16 products instead of 36 for M = 2, 36 instead of 144
//! for M = 4; and in each of these places the sum over channels is a matrix product.
//!
//! The matrices are Toom and Cook's: both factors are polynomials, evaluated at M + 1 points and ∞,
//! and the product is interpolated. For M = 2 the points are 0, 1 and −1,
//!
//! ```text
//!      ⎡1  0 −1  0⎤       ⎡ 1   0   0 ⎤
//! Bᵀ = ⎢0  1  1  0⎥   G = ⎢1/2 1/2 1/2⎥   Aᵀ = ⎡1 1  1  0⎤
//!      ⎢0 −1  1  0⎥       ⎢1/2−1/2 1/2⎥        ⎣0 1 −1 −1⎦
//!      ⎣0  1  0 −1⎦       ⎣ 0   0   1 ⎦
//! ```
//!
//! and the error is that of the direct form. For M = 4 they are 0, ±p and ±q with p = 2/3, q = 3/2,
//! so that p q = 1 and s = p² + q² = 97/36:
//!
//! ```text
//!      ⎡1  0  −s   0  1 0⎤       ⎡1   0   0 ⎤
//!      ⎢0 −q  −q²  p  1 0⎥       ⎢a  pa  p²a⎥        ⎡1 1   1  1   1 0⎤
//! Bᵀ = ⎢0  q  −q² −p  1 0⎥   G = ⎢a −pa  p²a⎥   Aᵀ = ⎢0 p  −p  q  −q 0⎥
//!      ⎢0 −p  −p²  q  1 0⎥       ⎢b  qb  q²b⎥        ⎢0 p²  p² q²  q² 0⎥
//!      ⎢0  p  −p² −q  1 0⎥       ⎢b −qb  q²b⎥        ⎣0 p³ −p³ q³ −q³ 1⎦
//!      ⎣0  1   0  −s  0 1⎦       ⎣0   0   1 ⎦        a = −81/130, b = 8/65
//! ```
//!
//! Of 13 choices of p and q tried, and of the usual 1 and 2 (whose largest error is four times as
//! much), these leave the least error in the root mean square, no more than a sum of products in f32
//! has on normal numbers; the largest is three to five times the direct form's.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::vector::{VECTORS, Width};
use crate::buffer::{Output, with_scratch};
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::runner::Runner;
use crate::conv2d::source::Source;
use crate::conv2d::weight::Weight;
use tiling::{Tiling, places_of};
use transform::for_tiling;

mod kernels;
mod places;
mod products;
mod ragged;
mod tile;
mod tiling;
mod transform;
mod weight_grad;

pub(in crate::conv2d) use places::MANY_CHANNELS;
pub(in crate::conv2d) use ragged::Ragged;
pub(crate) use ragged::Transformed;
pub(in crate::conv2d) use weight_grad::weight_gradient;

/// Distance between the places' matrices beyond their size, so that they do not compete for the
/// same lines of the first cache.
const SKEW: usize = 16;
/// Quads that make a task worth its while: small images are taken together.
const TASK_QUADS: usize = 96;
/// Channels times places times vectors of tiles whose transforms the second cache holds.
const DEPTH: usize = 6144;
/// Numbers that a row of padded pixels is a multiple of.
const PITCH: usize = 8;

/// Whether the transforms cover images of this size with tiles of `size`, 2 or 4.
pub(in crate::conv2d) fn fits(geometry: &Geometry, size: usize) -> bool {
    Tiling::fits(geometry, size)
}

/// The convolution of a geometry that [`fits`].
pub(in crate::conv2d) struct Winograd<'a, W, const B: usize> {
    proof: W,
    geometry: Geometry,
    padded: Padded,
    tiling: Tiling,
    transformed: Cow<'a, [f32]>,
    bias: Option<&'a [f32]>,
    images: usize,
    /// Vectors that are transformed before they are multiplied.
    depth: usize,
}

impl<'a, W: Width<B>, const B: usize> Winograd<'a, W, B> {
    pub(in crate::conv2d) fn new(
        proof: W,
        size: usize,
        weight: &Weight<'_>,
        bias: Option<&'a [f32]>,
        geometry: &Geometry,
    ) -> Self {
        let transformed = Cow::Owned(transform_weight(proof, size, weight));
        Self::of(proof, size, transformed, bias, geometry, Padded::new(geometry, PITCH))
    }

    fn of(
        proof: W,
        size: usize,
        transformed: Cow<'a, [f32]>,
        bias: Option<&'a [f32]>,
        geometry: &Geometry,
        padded: Padded,
    ) -> Self {
        let tiling = Tiling::new(geometry, size);
        let spread = geometry.batch.div_ceil(2 * rayon::current_num_threads());
        // As many vectors of tiles at a time as the second cache holds of their transforms.
        let channels = geometry.inputs.max(geometry.outputs);
        Self {
            proof,
            geometry: *geometry,
            padded,
            tiling,
            transformed,
            bias,
            images: (TASK_QUADS / tiling.in_image).min(spread).max(1),
            depth: (DEPTH / (channels * tiling.places()) / VECTORS * VECTORS).max(VECTORS),
        }
    }
}

impl<W: Width<B>, const B: usize> Runner for Winograd<'_, W, B> {
    fn images(&self) -> usize {
        self.images
    }

    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32) {
        let _proof = self.proof;
        let Geometry { inputs, outputs, width, .. } = self.geometry;
        let (padded, pixels) = (&self.padded, self.geometry.pixels());
        let blocks = outputs.div_ceil(B);
        let row = self.depth * W::LANES;
        let (in_place, out_place) = (inputs * row + SKEW, blocks * B * row + SKEW);
        let source_len = samples.len() * inputs * padded.channel;
        let (tiling, places) = (&self.tiling, self.tiling.places());
        let total = samples.len() * tiling.in_image;
        with_scratch(source_len + places * (in_place + out_place), |scratch| {
            let (images, scratch) = scratch.split_at_mut(source_len);
            let (tiles, sums) = scratch.split_at_mut(places * in_place);
            source.fill(padded, samples, images);
            let vector_quads = tiling.in_vector(W::LANES);
            let vectors = total.div_ceil(vector_quads);
            for first in (0..vectors).step_by(self.depth) {
                let count = self.depth.min(vectors - first);
                let quads =
                    |q: usize| tiling.of_vector((first + q) * vector_quads, W::LANES, total);
                for q in 0..count {
                    let starts = quads(q).map(|(image, i, j)| {
                        images[image * inputs * padded.channel + i * padded.pitch + j..].as_ptr()
                    });
                    let target = tiles[q * W::LANES..].as_mut_ptr();
                    let strides = [padded.channel, padded.pitch];
                    let targets = [row, in_place];
                    // SAFETY: `_proof`. From a quad's first pixel, eight numbers of two rows more
                    // than a tile has are in each padded channel; a vector fits at each place of
                    // `tiles` for each channel.
                    unsafe {
                        for_tiling!(
                            tiling,
                            transform::inputs::<W, B>(starts, strides, target, targets, inputs)
                        );
                    }
                }
                for place in 0..places {
                    let weights = &self.transformed[place * (blocks * inputs * B + SKEW)..];
                    let (tiles, sums) =
                        (&tiles[place * in_place..], &mut sums[place * out_place..]);
                    let size = [blocks, inputs, row];
                    // SAFETY: `_proof`; the matrices are `[blocks, inputs, B]`, `[inputs, row]`
                    // and `[B · blocks, row]`.
                    unsafe { products::block::<W, B>(weights, tiles, sums, size, count) };
                }
                for q in 0..count {
                    let starts = quads(q).map(|(image, i, j)| {
                        y.wrapping_add(image * outputs * pixels + i * width + j)
                    });
                    let sums = sums[q * W::LANES..].as_ptr();
                    let (strides, target) = ([row, out_place], [pixels, width]);
                    // SAFETY: `_proof`. A vector is at each place of `sums` for each channel; a
                    // tile's rows of four pixels from a quad's first one are within the task's
                    // output.
                    unsafe {
                        for_tiling!(
                            tiling,
                            transform::outputs::<W, B>(
                                sums, strides, self.bias, starts, target, outputs
                            )
                        );
                    }
                }
            }
        });
    }
}

/// `G g Gᵀ` of every kernel: `[places, O / B, I, B]`. Channels beyond the last are zero.
fn transform_weight<W: Width<B>, const B: usize>(
    _proof: W,
    size: usize,
    weight: &Weight<'_>,
) -> Vec<f32> {
    let (blocks, inputs) = (weight.outputs().div_ceil(B), weight.inputs());
    let place_len = blocks * inputs * B + SKEW;
    let mut transformed = Output::new(places_of(size) * place_len);
    let target = transformed.as_shared_ptr();
    (0..blocks).into_par_iter().for_each(|block| {
        // SAFETY: `_proof`; within `transformed`, and only this task writes this block.
        unsafe {
            let target = target.add(block * inputs * B);
            match size {
                2 => kernels::transform::<W, B, 2, 4>(weight, block, target, place_len),
                _ => kernels::transform::<W, B, 4, 6>(weight, block, target, place_len),
            }
        }
    });
    for place in 0..places_of(size) {
        // SAFETY: the gap after each place's blocks.
        unsafe { target.add((place + 1) * place_len - SKEW).write_bytes(0, SKEW) };
    }
    // SAFETY: every place of every block has been written, all lanes each, and the gaps.
    unsafe { transformed.assume_written() }
}
