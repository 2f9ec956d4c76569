//! The gradient with respect to the weight for many channels. For every chunk of tiles, all tasks
//! first transform the tiles; then each task adds the products of some places.
//!
//! With many channels, the sums of one place fill a cache, so partial sums of parts of the batch,
//! as in [`super::weight_grad`], would cost more memory traffic than they save. Here there is one
//! sum, and the product of a place is an ordinary matrix product.

use std::ops::Range;

use rayon::prelude::*;

use super::tiling::Tiling;
use super::transform::for_tiling;
use super::{PITCH, SKEW, kernels, transform};
use crate::buffer::{Output, SharedPtr, with_scratch};
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::source::Source;
use crate::conv2d::x86::vector::{QUADS, Vector};
use crate::product::{Matrix, add_product};

/// Fewest channels, of input and output, for which this algorithm is faster.
pub(in crate::conv2d) const MANY_CHANNELS: usize = 64;
/// Most elements of the transforms of a chunk: 8 MiB.
const TILES: usize = 1 << 21;
/// Number of channels that a task transforms.
const TASK_CHANNELS: usize = 16;

/// Computes the gradient `[O, I, 3, 3]` with respect to the weight, for a geometry that
/// [`fits`](super::fits).
pub(super) fn weight_gradient<V: Vector<B>, const B: usize>(
    proof: V,
    size: usize,
    source: &Source<'_>,
    grad: &[f32],
    geometry: &Geometry,
) -> Vec<f32> {
    let &Geometry { inputs, outputs, .. } = geometry;
    let tiling = Tiling::new(geometry, size);
    let count = tiling.places();
    let vectors = (geometry.batch * tiling.in_image).div_ceil(tiling.in_vector(V::LANES));
    let depth = (TILES / (count * (inputs + outputs) * V::LANES)).clamp(1, vectors.max(1));
    let row = depth * V::LANES + SKEW;
    let places = [inputs, outputs].map(|channels| channels * row + SKEW);
    let mut tiles = Output::new(count * places[0]);
    let mut grads = Output::new(count * places[1]);
    let targets = [tiles.as_shared_ptr(), grads.as_shared_ptr()];
    let place_len = outputs * inputs;
    let mut sums = vec![0f32; count * place_len];
    for first in (0..vectors).step_by(depth) {
        let chunk = Chunk {
            geometry,
            padded: Padded::new(geometry, PITCH),
            tiling,
            vectors: first..vectors.min(first + depth),
            row,
            places,
            targets,
        };
        chunk.transform::<V, B>(proof, source, grad);
        let size = [outputs, inputs, chunk.vectors.len() * V::LANES];
        sums.par_chunks_mut(place_len).enumerate().for_each(|(place, sums)| {
            let matrix = |which: usize| {
                let len = (size[which] - 1) * row + size[2];
                // SAFETY: the chunk has written this many elements of each row, and nothing is
                // written between the phases.
                let elements = unsafe {
                    let at = targets[1 - which].add(place * places[1 - which]);
                    std::slice::from_raw_parts(at, len)
                };
                Matrix::rows(elements, row)
            };
            add_product(sums, inputs, size, matrix(0), matrix(1).t());
        });
    }
    let mut weight = vec![0f32; outputs * inputs * 9];
    weight.par_chunks_mut(inputs * 9).enumerate().for_each(|(output, kernels)| {
        // SAFETY: `proof`.
        unsafe {
            kernels::transform_back::<V, B>(
                tiling.size,
                &sums[output * inputs..],
                place_len,
                kernels,
            )
        };
    });
    weight
}

/// Chunk of vectors of tiles.
struct Chunk<'a> {
    geometry: &'a Geometry,
    padded: Padded,
    tiling: Tiling,
    vectors: Range<usize>,
    /// Elements from a channel to the next.
    row: usize,
    /// Elements from a place to the next, of the input and of the gradient, in the order of
    /// `targets`.
    places: [usize; 2],
    targets: [SharedPtr; 2],
}

impl Chunk<'_> {
    /// Transforms the input and the output's gradient.
    fn transform<V: Vector<B>, const B: usize>(&self, proof: V, source: &Source<'_>, grad: &[f32]) {
        let &Geometry { inputs, outputs, .. } = self.geometry;
        let [input_tasks, output_tasks] =
            [inputs, outputs].map(|channels| channels.div_ceil(TASK_CHANNELS));
        (0..input_tasks + output_tasks).into_par_iter().for_each(|task| {
            let range = |task: usize, channels: usize| {
                task * TASK_CHANNELS..channels.min((task + 1) * TASK_CHANNELS)
            };
            match task.checked_sub(input_tasks) {
                None => self.inputs::<V, B>(proof, source, range(task, inputs)),
                Some(task) => self.gradients::<V, B>(proof, grad, range(task, outputs)),
            }
        });
    }

    /// Returns the quads of vector `index`, and their number.
    fn quads_of<V: Vector<B>, const B: usize>(
        &self,
        index: usize,
    ) -> ([(usize, usize, usize); QUADS], usize) {
        let total = self.geometry.batch * self.tiling.in_image;
        let in_vector = self.tiling.in_vector(V::LANES);
        let first = index * in_vector;
        (self.tiling.of_vector(first, V::LANES, total), in_vector.min(total - first))
    }

    fn inputs<V: Vector<B>, const B: usize>(
        &self,
        _proof: V,
        source: &Source<'_>,
        channels: Range<usize>,
    ) {
        let (padded, count) = (&self.padded, channels.len());
        let (tiling, in_vector) = (&self.tiling, self.tiling.in_vector(V::LANES));
        let last = (self.vectors.end * in_vector).min(self.geometry.batch * tiling.in_image);
        let first_image = self.vectors.start * in_vector / tiling.in_image;
        let images = first_image..(last - 1) / tiling.in_image + 1;
        let image_len = count * padded.channel;
        with_scratch(images.len() * image_len, |filled| {
            for (image, filled) in images.zip(filled.chunks_exact_mut(image_len)) {
                for (channel, target) in
                    channels.clone().zip(filled.chunks_exact_mut(padded.channel))
                {
                    source.fill_channel(padded, image, channel, target);
                }
            }
            for vector in self.vectors.clone() {
                let (quads, _) = self.quads_of::<V, B>(vector);
                let starts = quads.map(|(image, i, j)| {
                    let at = (image - first_image) * image_len + i * padded.pitch + j;
                    filled[at..].as_ptr()
                });
                let at = channels.start * self.row + (vector - self.vectors.start) * V::LANES;
                let (strides, targets) =
                    ([padded.channel, padded.pitch], [self.row, self.places[0]]);
                // SAFETY: `_proof`. Each padded channel has, from the first pixel of a quad on,
                // eight elements of two rows more than a tile; a vector fits at each place of the
                // target for each channel, and no other task has these channels.
                unsafe {
                    let target = self.targets[0].add(at);
                    for_tiling!(
                        tiling,
                        transform::inputs::<V, B>(starts, strides, target, targets, count)
                    );
                }
            }
        });
    }

    fn gradients<V: Vector<B>, const B: usize>(
        &self,
        _proof: V,
        grad: &[f32],
        channels: Range<usize>,
    ) {
        let &Geometry { outputs, width, .. } = self.geometry;
        let pixels = self.geometry.pixels();
        for vector in self.vectors.clone() {
            let (quads, held) = self.quads_of::<V, B>(vector);
            let starts = quads.map(|(image, i, j)| {
                grad[(image * outputs + channels.start) * pixels + i * width + j..].as_ptr()
            });
            let at = channels.start * self.row + (vector - self.vectors.start) * V::LANES;
            let (strides, targets) = ([pixels, width], [self.row, self.places[1]]);
            let count = channels.len();
            // SAFETY: `_proof`; the rows of a tile, four pixels from the first of a quad on, are
            // within the gradient of each channel; the target is as above.
            unsafe {
                let target = self.targets[1].add(at);
                for_tiling!(
                    self.tiling,
                    transform::gradients::<V, B>(starts, held, strides, target, targets, count)
                );
            }
        }
    }
}
