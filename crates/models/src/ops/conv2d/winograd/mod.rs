//! Winograd's convolution F(2×2, 3×3) (Lavin and Gray 2016, arXiv:1509.09308, Sec. 4.1).
//!
//! Every 2×2 tile of the output is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of a kernel `g` and the 4×4 tile
//! `d` of the input around it: 16 products instead of 36, and in each of the 16 places the sum
//! over channels is a matrix product. With
//!
//! ```text
//!      ⎡1  0 −1  0⎤       ⎡ 1   0   0 ⎤
//! Bᵀ = ⎢0  1  1  0⎥   G = ⎢1/2 1/2 1/2⎥   Aᵀ = ⎡1 1  1  0⎤
//!      ⎢0 −1  1  0⎥       ⎢1/2−1/2 1/2⎥        ⎣0 1 −1 −1⎦
//!      ⎣0  1  0 −1⎦       ⎣ 0   0   1 ⎦
//! ```
//!
//! the transforms are sums and halves, so the error is that of the direct form (8e-7 relative).
//! Eight tiles are transformed at once, as two groups of four neighbours in a row.

use rayon::prelude::*;

use super::geometry::Geometry;
use super::padded::{LANES, Padded};
use super::weight::{BLOCK, Weight};
use crate::ops::buffer::{Output, with_scratch};
use crate::ops::isa::Avx2Fma;

mod products;
mod transform;
mod weight_grad;

pub(super) use weight_grad::weight_gradient;

/// Places of a transformed tile.
const PLACES: usize = 16;
/// Distance between the places' matrices beyond their size, so that they do not compete for the
/// same lines of the first cache.
const SKEW: usize = 16;
/// Groups of four tiles that make a task worth its while: small images are taken together.
const TASK_GROUPS: usize = 48;

/// Whether the transforms cover images of this size.
pub(super) fn fits(geometry: &Geometry) -> bool {
    geometry.kernel == 3
        && geometry.width.is_multiple_of(LANES)
        && geometry.height.is_multiple_of(2)
}

/// Where the groups of four tiles are.
#[derive(Clone, Copy)]
struct Groups {
    /// Groups in a row of tiles.
    in_row: usize,
    /// Groups in an image.
    in_image: usize,
}

impl Groups {
    fn new(geometry: &Geometry) -> Self {
        let in_row = geometry.width / LANES;
        Self { in_row, in_image: geometry.height / 2 * in_row }
    }

    /// Image, row and column of the first pixel of group `index`.
    fn locate(&self, index: usize) -> (usize, usize, usize) {
        let (image, group) = (index / self.in_image, index % self.in_image);
        (image, group / self.in_row * 2, group % self.in_row * LANES)
    }
}

/// `y = weight * x + bias` for a geometry that [`fits`].
pub(super) fn convolve(
    proof: Avx2Fma,
    x: &[f32],
    weight: &Weight<'_>,
    bias: Option<&[f32]>,
    geometry: &Geometry,
) -> Vec<f32> {
    let transformed = transform_weight(weight);
    let groups = Groups::new(geometry);
    let spread = geometry.batch.div_ceil(2 * rayon::current_num_threads());
    let images = (TASK_GROUPS / groups.in_image).min(spread).max(1);
    // As many vectors of tiles at a time as the second cache holds of their transforms.
    let channels = geometry.inputs.max(geometry.outputs);
    let depth = (12 * 32 / channels / 3 * 3).max(3);
    let (image_in, image_out) =
        (geometry.inputs * geometry.pixels(), geometry.outputs * geometry.pixels());
    let mut output = Output::new(geometry.output_len());
    let tasks = output.par_chunks(images * image_out).zip(x.par_chunks(images * image_in));
    tasks.for_each(|(y, x)| {
        let task = Task {
            geometry,
            padded: Padded::new(geometry),
            groups,
            transformed: &transformed,
            bias,
            images: x.len() / image_in,
            depth,
        };
        // SAFETY: `y` is the output of the task's images, and nobody else's.
        unsafe { task.run(proof, x, y.as_mut_ptr().cast()) };
    });
    // SAFETY: the tiles cover every pixel of every output channel.
    unsafe { output.assume_written() }
}

/// Some images of a convolution.
struct Task<'a> {
    geometry: &'a Geometry,
    padded: Padded,
    groups: Groups,
    transformed: &'a [f32],
    bias: Option<&'a [f32]>,
    images: usize,
    /// Vectors (of eight tiles) that are transformed before they are multiplied.
    depth: usize,
}

impl Task<'_> {
    /// # Safety
    ///
    /// `y` is valid for writing `images · outputs · pixels` numbers, which no other thread uses.
    unsafe fn run(&self, _: Avx2Fma, x: &[f32], y: *mut f32) {
        let &Geometry { inputs, outputs, width, .. } = self.geometry;
        let (padded, pixels) = (&self.padded, self.geometry.pixels());
        let blocks = outputs.div_ceil(BLOCK);
        let row = self.depth * LANES;
        let (in_place, out_place) = (inputs * row + SKEW, blocks * BLOCK * row + SKEW);
        let source_len = self.images * inputs * padded.channel;
        let groups = self.images * self.groups.in_image;
        with_scratch(source_len + PLACES * (in_place + out_place), |scratch| {
            let (source, scratch) = scratch.split_at_mut(source_len);
            let (tiles, sums) = scratch.split_at_mut(PLACES * in_place);
            padded.fill(x, source);
            let vectors = groups.div_ceil(2);
            // Without a partner, the last group is computed and written twice.
            let pair = |vector: usize| [2 * vector, (2 * vector + 1).min(groups - 1)];
            for first in (0..vectors).step_by(self.depth) {
                let count = self.depth.min(vectors - first);
                for q in 0..count {
                    let places = pair(first + q).map(|group| {
                        let (image, i, j) = self.groups.locate(group);
                        image * inputs * padded.channel + i * padded.pitch + j
                    });
                    let target = &mut tiles[q * LANES..];
                    // SAFETY: the processor has the features (`Avx2Fma`). From a group's first
                    // pixel, four rows of ten numbers are in each padded channel; a vector fits
                    // at each place of `tiles` for each channel.
                    unsafe {
                        let places = places.map(|it| source[it..].as_ptr());
                        let strides = [padded.channel, padded.pitch];
                        transform::inputs(places, strides, target, [row, in_place], inputs);
                    }
                }
                for place in 0..PLACES {
                    let weights = &self.transformed[place * blocks * inputs * BLOCK..];
                    let (tiles, sums) =
                        (&tiles[place * in_place..], &mut sums[place * out_place..]);
                    // SAFETY: the processor has the features (`Avx2Fma`); the matrices are
                    // `[blocks, inputs, 4]`, `[inputs, row]` and `[4 · blocks, row]`.
                    unsafe { products::block(weights, tiles, sums, [blocks, inputs, row], count) };
                }
                for q in 0..count {
                    let places = pair(first + q).map(|group| {
                        let (image, i, j) = self.groups.locate(group);
                        image * outputs * pixels + i * width + j
                    });
                    // SAFETY: the processor has the features (`Avx2Fma`). A vector is at each
                    // place of `sums` for each channel; two rows of eight pixels from a group's
                    // first one are within the task's output.
                    unsafe {
                        let places = places.map(|it| y.add(it));
                        let sums = &sums[q * LANES..];
                        let strides = [pixels, width];
                        transform::outputs(
                            sums,
                            [row, out_place],
                            self.bias,
                            places,
                            strides,
                            outputs,
                        );
                    }
                }
            }
        });
    }
}

/// `G g Gᵀ` of every kernel: `[16, O / 4, I, 4]`. Channels beyond the last are zero.
fn transform_weight(weight: &Weight<'_>) -> Vec<f32> {
    let (blocks, inputs) = (weight.blocks(), weight.inputs());
    let place_len = blocks * inputs * BLOCK;
    let mut transformed = Output::new(PLACES * place_len);
    let target = transformed.as_shared_ptr();
    (0..blocks).into_par_iter().for_each(|block| {
        for input in 0..inputs {
            let mut places = [[0f32; BLOCK]; PLACES];
            for lane in 0..BLOCK.min(weight.outputs() - block * BLOCK) {
                let kernel = weight.kernel_3x3(block * BLOCK + lane, input);
                for (place, number) in places.iter_mut().zip(&transform::kernel(&kernel)) {
                    place[lane] = *number;
                }
            }
            for (place, numbers) in places.iter().enumerate() {
                let at = place * place_len + (block * inputs + input) * BLOCK;
                // SAFETY: within `transformed`, and only this task writes this block.
                unsafe { target.add(at).copy_from_nonoverlapping(numbers.as_ptr(), BLOCK) };
            }
        }
    });
    // SAFETY: every place of every block has been written, four lanes each.
    unsafe { transformed.assume_written() }
}
