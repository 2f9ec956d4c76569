//! The gradient by the weight, in the transformed domain:
//! `dg = Gᵀ [Σ (A dy Aᵀ) ⊙ (Bᵀ d B)] G`, the sum over all tiles of the batch.

use rayon::prelude::*;

use super::{Groups, PLACES, SKEW, products, transform};
use crate::ops::buffer::with_scratch;
use crate::ops::conv2d::geometry::Geometry;
use crate::ops::conv2d::padded::{LANES, Padded};
use crate::ops::conv2d::tile::VECTORS;
use crate::ops::conv2d::weight::BLOCK;
use crate::ops::isa::Avx2Fma;

/// A row of no gradient.
static NOTHING: [f32; LANES] = [0.0; LANES];
/// Numbers that all parts' sums may take together: 2 MiB.
const SUMS: usize = 1 << 19;

/// The gradient `[O, I, 3, 3]` by the weight, for a geometry that [`fits`](super::fits).
pub(in super::super) fn weight_gradient(
    proof: Avx2Fma,
    x: &[f32],
    grad: &[f32],
    geometry: &Geometry,
) -> Vec<f32> {
    let &Geometry { batch, inputs, outputs, .. } = geometry;
    let blocks = outputs.div_ceil(BLOCK);
    let columns = inputs.next_multiple_of(VECTORS);
    let place_len = blocks * columns * BLOCK;
    // The batch is summed in parts whose number depends on the shape alone, so that the result
    // does not depend on the number of threads; a power of two shares out evenly.
    let parts = match SUMS / (PLACES * place_len) {
        ..8 => 4,
        8..16 => 8,
        _ => 16,
    };
    let parts = batch.min(parts);
    let part_images = batch.div_ceil(parts.max(1));
    let pixels = geometry.pixels();
    let mut sums = vec![0f32; parts * PLACES * place_len];
    sums.par_chunks_mut(PLACES * place_len)
        .zip(x.par_chunks(part_images * inputs * pixels))
        .zip(grad.par_chunks(part_images * outputs * pixels))
        .for_each(|((sums, x), grad)| {
            let part = Part { geometry, padded: Padded::new(geometry), columns };
            part.run(proof, x, grad, sums);
        });
    let mut weight = vec![0f32; outputs * inputs * 9];
    weight.par_chunks_mut(inputs * 9).enumerate().for_each(|(output, weight)| {
        for (input, kernel) in weight.chunks_mut(9).enumerate() {
            let at = (output / BLOCK * columns + input) * BLOCK + output % BLOCK;
            let mut total = [0f32; PLACES];
            for sums in sums.chunks(PLACES * place_len) {
                for (place, total) in total.iter_mut().enumerate() {
                    *total += sums[place * place_len + at];
                }
            }
            kernel.copy_from_slice(&transform::kernel_transposed(&total));
        }
    });
    weight
}

/// Some images of the batch.
struct Part<'a> {
    geometry: &'a Geometry,
    padded: Padded,
    /// Input channels, rounded up to full tiles.
    columns: usize,
}

impl Part<'_> {
    /// Adds to `sums`, `[16, O / 4, I, 4]`.
    fn run(&self, _: Avx2Fma, x: &[f32], grad: &[f32], sums: &mut [f32]) {
        let &Geometry { inputs, outputs, width, .. } = self.geometry;
        let (padded, pixels) = (&self.padded, self.geometry.pixels());
        let blocks = outputs.div_ceil(BLOCK);
        let groups = Groups::new(self.geometry);
        // As many vectors of tiles at a time as the second cache holds of their transforms.
        let depth = (32 * 32 / inputs.max(outputs)).clamp(8, 32);
        let images = (2 * depth / groups.in_image).max(1);
        let row = depth * LANES;
        let (in_place, out_place) = (self.columns * row + SKEW, blocks * BLOCK * row + SKEW);
        let source_len = images * inputs * padded.channel;
        with_scratch(source_len + PLACES * (in_place + out_place), |scratch| {
            let (source, scratch) = scratch.split_at_mut(source_len);
            let (tiles, grads) = scratch.split_at_mut(PLACES * in_place);
            // Channels that only fill up a tile must not be NaN.
            for place in tiles.chunks_exact_mut(in_place) {
                place[inputs * row..].fill(0.0);
            }
            for place in grads.chunks_exact_mut(out_place) {
                place[outputs * row..].fill(0.0);
            }
            let batches = x.chunks(images * inputs * pixels);
            for (x, grad) in batches.zip(grad.chunks(images * outputs * pixels)) {
                padded.fill(x, source);
                let total = x.len() / (inputs * pixels) * groups.in_image;
                let vectors = total.div_ceil(2);
                for first in (0..vectors).step_by(depth) {
                    let count = depth.min(vectors - first);
                    for q in 0..count {
                        let (a, b) = (2 * (first + q), 2 * (first + q) + 1);
                        let pair = [a, b.min(total - 1)].map(|it| groups.locate(it));
                        let places = pair.map(|(image, i, j)| {
                            image * inputs * padded.channel + i * padded.pitch + j
                        });
                        let target = &mut tiles[q * LANES..];
                        // SAFETY: the processor has the features (`Avx2Fma`). From a group's
                        // first pixel, four rows of ten numbers are in each padded channel; a
                        // vector fits at each place of `tiles` for each channel.
                        unsafe {
                            let places = places.map(|it| source[it..].as_ptr());
                            let strides = [padded.channel, padded.pitch];
                            transform::inputs(places, strides, target, [row, in_place], inputs);
                        }
                        let [first, second] =
                            pair.map(|(image, i, j)| image * outputs * pixels + i * width + j);
                        // Without a partner, the last group's is one row of zeros, read for all.
                        let (second, channels, widths) = match b < total {
                            true => (&grad[second..], [pixels; 2], [width; 2]),
                            false => (&NOTHING[..], [pixels, 0], [width, 0]),
                        };
                        let target = &mut grads[q * LANES..];
                        // SAFETY: as above; two rows of eight pixels from a group's first one are
                        // within the gradient of each channel.
                        unsafe {
                            let places = [grad[first..].as_ptr(), second.as_ptr()];
                            let strides = [channels, widths];
                            transform::gradients(
                                places,
                                strides,
                                target,
                                [row, out_place],
                                outputs,
                            );
                        }
                    }
                    for place in 0..PLACES {
                        let (tiles, grads) =
                            (&tiles[place * in_place..], &grads[place * out_place..]);
                        let len = blocks * self.columns * BLOCK;
                        let sums = &mut sums[place * len..][..len];
                        let size = [blocks, self.columns, row];
                        // SAFETY: the processor has the features (`Avx2Fma`); `grads` holds four
                        // rows for each block, `tiles` `columns` rows, filled up above.
                        unsafe { products::outer(grads, tiles, sums, size, count) };
                    }
                }
            }
        });
    }
}
