//! Winograd's convolutions F(2×2, 3×3) and F(4×4, 3×3) (Lavin and Gray 2016, arXiv:1509.09308).
//!
//! An M×M tile of the output is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`, where `g` is a kernel and `d` the
//! tile of the input around it, M + 2 pixels wide. This takes 16 products instead of 36 for M = 2,
//! and 36 instead of 144 for M = 4. Each of these products is a *place*; in each place, the sum
//! over channels is a matrix product.
//!
//! The matrices come from the Toom-Cook algorithm: both factors are polynomials that are evaluated at M +
//! 1 points and ∞, and the product is interpolated. For M = 2, the points are 0, 1 and −1:
//!
//! ```text
//!      ⎡1  0 −1  0⎤       ⎡ 1   0   0 ⎤
//! Bᵀ = ⎢0  1  1  0⎥   G = ⎢1/2 1/2 1/2⎥   Aᵀ = ⎡1 1  1  0⎤
//!      ⎢0 −1  1  0⎥       ⎢1/2−1/2 1/2⎥        ⎣0 1 −1 −1⎦
//!      ⎣0  1  0 −1⎦       ⎣ 0   0   1 ⎦
//! ```
//!
//! and the error equals the direct form's. For M = 4, the points are 0, ±p and ±q with p =
//! 2/3 and q = 3/2, so that p q = 1 and s = p² + q² = 97/36:
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
//! We tried 13 choices of p and q, and the usual 1 and 2, whose largest error is four times as
//! large. The choice above has the smallest root-mean-square error, which for normal inputs is no
//! larger than the error of a sum of products in f32. The largest error is three to five times the
//! largest error of the direct form.

mod kernels;
mod places;
mod products;
mod ragged;
mod tile;
mod tiling;
mod transform;
mod weight_grad;

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::vector::{VECTORS, Vector};
use crate::buffer::{Output, with_scratch};
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::runner::Runner;
use crate::conv2d::source::Source;
use crate::conv2d::weight::Weight;
use tiling::{Tiling, places_of};
use transform::for_tiling;

pub(in crate::conv2d) use places::MANY_CHANNELS;
pub(in crate::conv2d) use ragged::Ragged;
pub(crate) use ragged::Transformed;
pub(in crate::conv2d) use weight_grad::weight_gradient;

/// Gap between the matrices of adjacent places, so that they do not compete for the same lines of
/// the first-level cache.
const SKEW: usize = 16;
/// Fewest quads of a task. Small images share one.
const TASK_QUADS: usize = 96;
/// Channels times places times vectors of tiles whose transforms fit into the second-level cache.
const DEPTH: usize = 6144;
/// Divisor of the length of a padded row.
const PITCH: usize = 8;

/// Returns true if tiles of `size`, 2 or 4, cover images of this size exactly.
pub(in crate::conv2d) fn fits(geometry: &Geometry, size: usize) -> bool {
    Tiling::fits(geometry, size)
}

/// Convolution of a geometry that [`fits`].
pub(in crate::conv2d) struct Winograd<'a, V, const B: usize> {
    proof: V,
    geometry: Geometry,
    padded: Padded,
    tiling: Tiling,
    transformed: Cow<'a, [f32]>,
    bias: Option<&'a [f32]>,
    images: usize,
    /// Vectors of tiles that are transformed before the matrix products.
    depth: usize,
}

impl<'a, V: Vector<B>, const B: usize> Winograd<'a, V, B> {
    pub(in crate::conv2d) fn new(
        proof: V,
        size: usize,
        weight: &Weight<'_>,
        bias: Option<&'a [f32]>,
        geometry: &Geometry,
    ) -> Self {
        let transformed = Cow::Owned(transform_weight(proof, size, weight));
        Self::of(proof, size, transformed, bias, geometry, Padded::new(geometry, PITCH))
    }

    fn of(
        proof: V,
        size: usize,
        transformed: Cow<'a, [f32]>,
        bias: Option<&'a [f32]>,
        geometry: &Geometry,
        padded: Padded,
    ) -> Self {
        let tiling = Tiling::new(geometry, size);
        let spread = geometry.batch.div_ceil(2 * rayon::current_num_threads());
        // The second-level cache holds the transforms of this many vectors of tiles.
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

impl<V: Vector<B>, const B: usize> Runner for Winograd<'_, V, B> {
    fn images(&self) -> usize {
        self.images
    }

    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32) {
        let _proof = self.proof;
        let Geometry { inputs, outputs, width, .. } = self.geometry;
        let (padded, pixels) = (&self.padded, self.geometry.pixels());
        let blocks = outputs.div_ceil(B);
        let row = self.depth * V::LANES;
        let (in_place, out_place) = (inputs * row + SKEW, blocks * B * row + SKEW);
        let source_len = samples.len() * inputs * padded.channel;
        let (tiling, places) = (&self.tiling, self.tiling.places());
        let total = samples.len() * tiling.in_image;
        with_scratch(source_len + places * (in_place + out_place), |scratch| {
            let (images, scratch) = scratch.split_at_mut(source_len);
            let (tiles, sums) = scratch.split_at_mut(places * in_place);
            source.fill(padded, samples, images);
            let vector_quads = tiling.in_vector(V::LANES);
            let vectors = total.div_ceil(vector_quads);
            for first in (0..vectors).step_by(self.depth) {
                let count = self.depth.min(vectors - first);
                let quads =
                    |q: usize| tiling.of_vector((first + q) * vector_quads, V::LANES, total);
                for q in 0..count {
                    let starts = quads(q).map(|(image, i, j)| {
                        images[image * inputs * padded.channel + i * padded.pitch + j..].as_ptr()
                    });
                    let target = tiles[q * V::LANES..].as_mut_ptr();
                    let strides = [padded.channel, padded.pitch];
                    let targets = [row, in_place];
                    // SAFETY: `_proof`. Each padded channel has, from the first pixel of a quad on,
                    // eight elements of two rows more than a tile; a vector fits at each place of
                    // `tiles` for each channel.
                    unsafe {
                        for_tiling!(
                            tiling,
                            transform::inputs::<V, B>(starts, strides, target, targets, inputs)
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
                    unsafe { products::block::<V, B>(weights, tiles, sums, size, count) };
                }
                for q in 0..count {
                    let starts = quads(q).map(|(image, i, j)| {
                        y.wrapping_add(image * outputs * pixels + i * width + j)
                    });
                    let sums = sums[q * V::LANES..].as_ptr();
                    let (strides, target) = ([row, out_place], [pixels, width]);
                    // SAFETY: `_proof`. A vector is at each place of `sums` for each channel; a
                    // tile's rows of four pixels from a quad's first one are within the task's
                    // output.
                    unsafe {
                        for_tiling!(
                            tiling,
                            transform::outputs::<V, B>(
                                sums, strides, self.bias, starts, target, outputs
                            )
                        );
                    }
                }
            }
        });
    }
}

/// Computes `G g Gᵀ` of every kernel: `[places, O / B, I, B]`. Channels beyond the last are zero.
fn transform_weight<V: Vector<B>, const B: usize>(
    _proof: V,
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
                2 => kernels::transform::<V, B, 2, 4>(weight, block, target, place_len),
                _ => kernels::transform::<V, B, 4, 6>(weight, block, target, place_len),
            }
        }
    });
    for place in 0..places_of(size) {
        // SAFETY: the gap after each place's blocks.
        unsafe { target.add((place + 1) * place_len - SKEW).write_bytes(0, SKEW) };
    }
    // SAFETY: all lanes of every place of every block have been written, and the gaps.
    unsafe { transformed.assume_written() }
}
