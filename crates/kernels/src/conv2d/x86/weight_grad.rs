//! Gradient of the direct convolution with respect to the weight.
//!
//! ```text
//! dw[o, c, u, v] = Σ_{b,i,j} grad[b, o, i, j] · x[b, c, i + u − k/2, j + v − k/2]
//! ```
//!
//! A tile keeps 12 such sums (AVX-512: 24) as vectors along the pixels: four or eight output
//! channels by three columns of a kernel (`k = 3`) or three input channels (`k = 1`). Tasks divide
//! the weight, not the sums, so the result does not depend on the number of threads.

use rayon::prelude::*;

use super::run::Run;
use super::vector::{VECTORS, Vector, compile_for_width};
use crate::buffer::SharedPtr;
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::source::Source;

/// Elements of the output's gradient that one pass over the input channels reads: 16 KiB, half of
/// the first-level cache.
const CACHED: usize = 4096;

/// Computes the gradient `[O, I, k, k]` with respect to the weight, for `k` 1 or 3.
pub(in crate::conv2d) fn weight_gradient<V: Vector<B>, const B: usize>(
    proof: V,
    source: &Source<'_>,
    grad: &[f32],
    geometry: &Geometry,
) -> Vec<f32> {
    let padded = Padded::new(geometry, V::LANES);
    let filled = source.filled(&padded, 0..geometry.batch);
    let source = filled.as_ref();
    let mut weight = vec![0f32; geometry.outputs * geometry.inputs * geometry.taps()];
    let blocks = geometry.outputs.div_ceil(B);
    // A task has adjacent blocks of outputs; with few blocks, it has only some of the inputs.
    let threads = rayon::current_num_threads();
    let task_blocks = blocks.div_ceil(threads);
    let splits = (threads / blocks).clamp(1, geometry.inputs);
    let task_inputs = geometry.inputs.div_ceil(splits).next_multiple_of(VECTORS);
    let target = SharedPtr::new(&mut weight);
    (0..blocks.div_ceil(task_blocks) * splits).into_par_iter().for_each(|task| {
        let (first_block, first_input) = (task / splits * task_blocks, task % splits * task_inputs);
        let task = Task {
            geometry,
            padded,
            source,
            grad,
            blocks: first_block..blocks.min(first_block + task_blocks),
            inputs: first_input..geometry.inputs.min(first_input + task_inputs),
            target,
        };
        // SAFETY: `target` is the whole weight; no two tasks share both a block and an input.
        unsafe { task.run(proof) };
    });
    weight
}

/// Gradient with respect to some output and input channels of the weight.
struct Task<'a> {
    geometry: &'a Geometry,
    padded: Padded,
    source: &'a [f32],
    grad: &'a [f32],
    blocks: std::ops::Range<usize>,
    inputs: std::ops::Range<usize>,
    target: SharedPtr,
}

impl Task<'_> {
    /// Computes the task's part of the weight.
    ///
    /// # Safety
    ///
    /// The weight at `target` is readable and writable, and no other thread uses the task's part.
    unsafe fn run<V: Vector<B>, const B: usize>(&self, _proof: V) {
        let &Geometry { batch, inputs, outputs, kernel, .. } = self.geometry;
        let pixels = self.geometry.pixels();
        let images = (CACHED / (B * pixels)).max(1);
        let mut ragged = Vec::new();
        for first in (0..batch).step_by(images) {
            let images = images.min(batch - first);
            for block in self.blocks.clone() {
                let output = block * B;
                let rows = B.min(outputs - output);
                let (grad, image_stride) = if rows == B {
                    (&self.grad[(first * outputs + output) * pixels..], outputs * pixels)
                } else {
                    self.gather::<B>(first, images, output, &mut ragged);
                    (&ragged[..], B * pixels)
                };
                let sum = Sum { padded: &self.padded, grad, image_stride, images };
                let image_in = inputs * self.padded.channel;
                let mut channel = self.inputs.start;
                while channel < self.inputs.end {
                    let start = first * image_in + channel * self.padded.channel;
                    let source = &self.source[start..];
                    let count = if kernel == 3 { 1 } else { VECTORS.min(inputs - channel) };
                    for u in 0..kernel {
                        let offsets: [usize; VECTORS] = std::array::from_fn(|q| match kernel {
                            3 => u * self.padded.pitch + q,
                            _ => q.min(count - 1) * self.padded.channel,
                        });
                        let mut sums = [[0f32; B]; VECTORS];
                        // SAFETY: `_proof`; both slices extend to the end of the last image.
                        unsafe {
                            sum_up::<V, B>(
                                &sum,
                                source,
                                image_in,
                                offsets,
                                sums.as_mut_ptr().cast(),
                            )
                        };
                        let columns = if kernel == 3 { VECTORS } else { count };
                        for (q, sums) in sums.iter().enumerate().take(columns) {
                            for (r, sum) in sums.iter().enumerate().take(rows) {
                                let at = ((output + r) * inputs + channel) * kernel * kernel;
                                // SAFETY: within the task's part of the weight.
                                unsafe { *self.target.add(at + u * kernel + q) += sum };
                            }
                        }
                    }
                    channel += count;
                }
            }
        }
    }

    /// Copies the gradient of the channels starting at `output`, and adds channels of zeros up to a
    /// block.
    fn gather<const B: usize>(
        &self,
        first: usize,
        images: usize,
        output: usize,
        target: &mut Vec<f32>,
    ) {
        let (pixels, outputs) = (self.geometry.pixels(), self.geometry.outputs);
        target.clear();
        target.resize(images * B * pixels, 0.0);
        for (i, target) in target.chunks_mut(B * pixels).enumerate() {
            let rows = (outputs - output) * pixels;
            let start = ((first + i) * outputs + output) * pixels;
            target[..rows].copy_from_slice(&self.grad[start..][..rows]);
        }
    }
}

/// Sum over the pixels of some images.
struct Sum<'a> {
    padded: &'a Padded,
    /// Gradient of a block of output channels, starting at the first image.
    grad: &'a [f32],
    /// Elements of `grad` from an image to the next.
    image_stride: usize,
    images: usize,
}

compile_for_width! {
    /// Sets `target[q][r]` to the sum of products of channel `r` of the gradient and `source`
    /// shifted by `offsets[q]`. Images of the source are `source_stride` elements apart.
    ///
    /// # Safety
    ///
    /// `sum.grad` has `sum.images` blocks, and `source` as many padded images with every offset.
    /// `target` holds `B` elements per row.
    unsafe fn sum_up(
        sum: &Sum<'_>,
        source: &[f32],
        source_stride: usize,
        offsets: [usize; VECTORS],
        target: *mut f32,
    ) = sum_up_of
}

/// # Safety
///
/// As for [`sum_up`].
#[inline(always)]
unsafe fn sum_up_of<V: Vector<B>, const B: usize>(
    sum: &Sum<'_>,
    source: &[f32],
    source_stride: usize,
    offsets: [usize; VECTORS],
    target: *mut f32,
) {
    let (padded, pixels) = (sum.padded, sum.padded.height * sum.padded.width);
    let whole = padded.width / V::LANES;
    let (column, ragged) = (whole * V::LANES, padded.width % V::LANES);
    // SAFETY: row `row` of image `image` is within both. Whole vectors lie within the row. Of a
    // partial vector, the gradient is masked and the source lies within the padded row.
    unsafe {
        let mut acc = [[V::splat(0.0); B]; VECTORS];
        let (grad_gap, x_gap) = (ragged, padded.pitch - column);
        let run = Run { rows: padded.height, vectors: whole, grad_gap, x_gap };
        for image in 0..sum.images {
            let grad = sum.grad.as_ptr().add(image * sum.image_stride);
            let source = source.as_ptr().add(image * source_stride);
            let x = offsets.map(|it| source.wrapping_add(it));
            V::multiply(&mut acc, grad, pixels, x, run);
            if ragged != 0 {
                for row in 0..padded.height {
                    let (grad, x_at) = (grad.add(row * padded.width), row * padded.pitch);
                    for r in 0..B {
                        let g = V::load_first(grad.add(r * pixels + column), ragged);
                        for (acc, x) in acc.iter_mut().zip(x) {
                            acc[r] = V::fma(g, V::load(x.add(x_at + column)), acc[r]);
                        }
                    }
                }
            }
        }
        for (q, acc) in acc.iter().enumerate() {
            target.add(q * B).copy_from_nonoverlapping(V::totals(acc).as_ptr(), B);
        }
    }
}
