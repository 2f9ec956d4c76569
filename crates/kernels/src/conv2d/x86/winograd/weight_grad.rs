//! The gradient with respect to the weight, in the transformed domain:
//! `dg = Gᵀ [Σ (A dy Aᵀ) ⊙ (Bᵀ d B)] G`, summed over all tiles of the batch.

use rayon::prelude::*;

use super::tiling::Tiling;
use super::transform::for_tiling;
use super::{PITCH, SKEW, kernels, places, products, transform};
use crate::buffer::with_scratch;
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::source::Source;
use crate::conv2d::x86::vector::{VECTORS, Vector};

/// Channels times vectors of tiles whose transforms fit into the second-level cache.
const DEPTH: usize = 32 * 32;
/// Most elements of the sums of all parts: 2 MiB.
const SUMS: usize = 1 << 19;

/// Computes the gradient `[O, I, 3, 3]` with respect to the weight, for a geometry that
/// [`fits`](super::fits).
pub(in crate::conv2d) fn weight_gradient<V: Vector<B>, const B: usize>(
    proof: V,
    size: usize,
    source: &Source<'_>,
    grad: &[f32],
    geometry: &Geometry,
) -> Vec<f32> {
    let &Geometry { batch, inputs, outputs, .. } = geometry;
    if places::MANY_CHANNELS <= inputs.min(outputs) {
        return places::weight_gradient(proof, size, source, grad, geometry);
    }
    let tiling = Tiling::new(geometry, size);
    let count = tiling.places();
    let blocks = outputs.div_ceil(B);
    let columns = inputs.next_multiple_of(VECTORS);
    let place_len = blocks * columns * B;
    // The number of partial sums depends on the shape alone, so the result does not depend on the
    // number of threads. A power of two divides evenly among them.
    let parts = match SUMS / (count * place_len) {
        ..8 => 4,
        8..16 => 8,
        _ => 16,
    };
    let parts = batch.min(parts);
    let part_images = batch.div_ceil(parts.max(1));
    let (pixels, padded) = (geometry.pixels(), Padded::new(geometry, PITCH));
    let mut sums = vec![0f32; parts * count * place_len];
    sums.par_chunks_mut(count * place_len)
        .zip(grad.par_chunks(part_images * outputs * pixels))
        .enumerate()
        .for_each(|(part, (sums, grad))| {
            let first = part * part_images;
            let part = Part { geometry, tiling, source, first, padded, columns };
            part.run::<V, B>(proof, grad, sums);
        });
    let mut weight = vec![0f32; outputs * inputs * 9];
    weight.par_chunks_mut(B * inputs * 9).enumerate().for_each(|(block, weight)| {
        let first = block * columns * B;
        // SAFETY: `proof`.
        unsafe {
            kernels::transform_parts_back::<V, B>(size, &sums, first, place_len, weight, inputs);
        }
    });
    weight
}

/// Partial sum over some images of the batch.
struct Part<'a> {
    geometry: &'a Geometry,
    tiling: Tiling,
    source: &'a Source<'a>,
    /// First image.
    first: usize,
    padded: Padded,
    /// Input channels, rounded up to full tiles.
    columns: usize,
}

impl Part<'_> {
    /// Adds the products to `sums`, `[places, O / B, I, B]`.
    fn run<V: Vector<B>, const B: usize>(&self, _proof: V, grad: &[f32], sums: &mut [f32]) {
        let &Geometry { inputs, outputs, width, .. } = self.geometry;
        let (padded, pixels) = (&self.padded, self.geometry.pixels());
        let blocks = outputs.div_ceil(B);
        let (tiling, places) = (&self.tiling, self.tiling.places());
        let vector_quads = tiling.in_vector(V::LANES);
        // The second-level cache holds the transforms of this many vectors of tiles.
        let depth = (DEPTH / inputs.max(outputs)).clamp(8, 32);
        let images = (depth * vector_quads / tiling.in_image).max(1);
        let row = depth * V::LANES;
        let (in_place, out_place) = (self.columns * row + SKEW, blocks * B * row + SKEW);
        let source_len = images * inputs * padded.channel;
        with_scratch(source_len + places * (in_place + out_place), |scratch| {
            let (filled, scratch) = scratch.split_at_mut(source_len);
            let (tiles, grads) = scratch.split_at_mut(places * in_place);
            // Channels that pad a tile must not be NaN.
            for place in tiles.chunks_exact_mut(in_place) {
                place[inputs * row..].fill(0.0);
            }
            for place in grads.chunks_exact_mut(out_place) {
                place[outputs * row..].fill(0.0);
            }
            let batches = grad.chunks(images * outputs * pixels);
            for (start, grad) in (self.first..).step_by(images).zip(batches) {
                let held = grad.len() / (outputs * pixels);
                self.source.fill(padded, start..start + held, filled);
                let total = held * tiling.in_image;
                let vectors = total.div_ceil(vector_quads);
                for first in (0..vectors).step_by(depth) {
                    let count = depth.min(vectors - first);
                    for q in 0..count {
                        let start = (first + q) * vector_quads;
                        let of_vector = tiling.of_vector(start, V::LANES, total);
                        let starts = of_vector.map(|(image, i, j)| {
                            let at = image * inputs * padded.channel + i * padded.pitch + j;
                            filled[at..].as_ptr()
                        });
                        let strides = [padded.channel, padded.pitch];
                        let target = tiles[q * V::LANES..].as_mut_ptr();
                        let targets = [row, in_place];
                        // SAFETY: `_proof`. Each padded channel has, from the first pixel of a quad
                        // on, eight elements of two rows more than a tile; a vector fits at each
                        // place of `tiles` for each channel.
                        unsafe {
                            for_tiling!(
                                tiling,
                                transform::inputs::<V, B>(starts, strides, target, targets, inputs)
                            );
                        }
                        let starts = of_vector.map(|(image, i, j)| {
                            grad[image * outputs * pixels + i * width + j..].as_ptr()
                        });
                        let held = vector_quads.min(total - start);
                        let (strides, targets) = ([pixels, width], [row, out_place]);
                        let target = grads[q * V::LANES..].as_mut_ptr();
                        // SAFETY: as above; the rows of a tile, four pixels from the first of a
                        // quad on, are within the gradient of each channel.
                        unsafe {
                            for_tiling!(
                                tiling,
                                transform::gradients::<V, B>(
                                    starts, held, strides, target, targets, outputs,
                                )
                            );
                        }
                    }
                    for place in 0..places {
                        let (tiles, grads) =
                            (&tiles[place * in_place..], &grads[place * out_place..]);
                        let len = blocks * self.columns * B;
                        let sums = &mut sums[place * len..][..len];
                        let size = [blocks, self.columns, row];
                        // SAFETY: `_proof`; `grads` holds `B` rows for each block, and `tiles`
                        // `columns` rows, padded above.
                        unsafe { products::outer::<V, B>(grads, tiles, sums, size, count) };
                    }
                }
            }
        });
    }
}
