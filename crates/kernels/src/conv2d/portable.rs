//! Convolution as a matrix product, on any processor and for any odd kernel.
//!
//! An image is unrolled into the matrix `[I · k², H · W]` of the pixels that each tap reads; with
//! `k = 1`, the image is that matrix already. The output is the product of the weight `[O, I · k²]`
//! and this matrix. On every processor, convolutions with `k = 1` and many channels use this
//! algorithm.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use super::padded::Padded;
use super::runner::Runner;
use super::source::Source;
use super::weight::Weight;
use crate::buffer::with_scratch;
use crate::product::{Matrix, add_product, product};

/// Largest number of partial sums over images for the weight's gradient. It is a constant, so that
/// results do not depend on the number of threads.
const PARTS: usize = 8;

/// Convolution with a kernel of any size.
pub(super) struct Product<'a> {
    geometry: &'a Geometry,
    matrix: Vec<f32>,
    bias: Option<&'a [f32]>,
}

impl<'a> Product<'a> {
    pub(super) fn new(
        weight: &Weight<'_>,
        bias: Option<&'a [f32]>,
        geometry: &'a Geometry,
    ) -> Self {
        Self { geometry, matrix: weight.matrix(), bias }
    }
}

impl Runner for Product<'_> {
    fn images(&self) -> usize {
        1
    }

    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32) {
        let &Self { geometry, ref matrix, bias } = self;
        let (pixels, rows) = (geometry.pixels(), geometry.inputs * geometry.taps());
        let len = geometry.outputs * pixels;
        for (i, sample) in samples.enumerate() {
            // SAFETY: the caller vouches for an output of `samples` images.
            let y = unsafe { std::slice::from_raw_parts_mut(y.add(i * len).cast(), len) };
            source.with_dense(sample, |x| {
                with_unrolled(x, geometry, |columns| {
                    let (a, b) = (Matrix::rows(matrix, rows), Matrix::rows(columns, pixels));
                    product(y, pixels, [geometry.outputs, pixels, rows], a, b, 1.0);
                });
            });
            for (y, bias) in y.chunks_mut(pixels).zip(bias.unwrap_or_default()) {
                // SAFETY: the product has initialized all of the image.
                y.iter_mut().for_each(|it| *unsafe { it.assume_init_mut() } += bias);
            }
        }
    }
}

/// Computes the gradient `[O, I, k, k]` with respect to the weight.
pub(super) fn weight_gradient(source: &Source<'_>, grad: &[f32], geometry: &Geometry) -> Vec<f32> {
    if geometry.kernel == 1 {
        return product_gradient(source, grad, geometry);
    }
    let (pixels, rows) = (geometry.pixels(), geometry.inputs * geometry.taps());
    let len = geometry.outputs * rows;
    let part_images = geometry.batch.div_ceil(PARTS).max(1);
    let parts = geometry.batch.div_ceil(part_images);
    let mut sums = vec![0f32; parts * len];
    sums.par_chunks_mut(len.max(1)).enumerate().for_each(|(part, sum)| {
        let images = part * part_images..geometry.batch.min((part + 1) * part_images);
        for image in images {
            let grad = &grad[image * geometry.outputs * pixels..][..geometry.outputs * pixels];
            source.with_dense(image, |x| {
                with_unrolled(x, geometry, |columns| {
                    let (a, b) = (Matrix::rows(grad, pixels), Matrix::rows(columns, pixels).t());
                    add_product(sum, rows, [geometry.outputs, rows, pixels], a, b);
                });
            });
        }
    });
    let mut total = vec![0f32; len];
    for sum in sums.chunks(len.max(1)) {
        total.iter_mut().zip(sum).for_each(|(total, part)| *total += part);
    }
    total
}

/// Computes [`weight_gradient`] for `k = 1`, without unrolling. Tasks divide the outputs, so each
/// element is one sum in the order of the images.
fn product_gradient(source: &Source<'_>, grad: &[f32], geometry: &Geometry) -> Vec<f32> {
    /// Fewest outputs of a task: with fewer, packing the images costs more than it saves.
    const TASK: usize = 64;
    let &Geometry { batch, inputs, outputs, .. } = geometry;
    let pixels = geometry.pixels();
    let filled = source.filled(&Padded::none(pixels), 0..batch);
    let x = filled.as_ref();
    let task_outputs = outputs.div_ceil(rayon::current_num_threads()).max(TASK);
    let mut total = vec![0f32; outputs * inputs];
    total.par_chunks_mut(task_outputs * inputs).enumerate().for_each(|(task, sum)| {
        let rows = sum.len() / inputs;
        for image in 0..batch {
            let grad = &grad[(image * outputs + task * task_outputs) * pixels..][..rows * pixels];
            let x = &x[image * inputs * pixels..][..inputs * pixels];
            let (a, b) = (Matrix::rows(grad, pixels), Matrix::rows(x, pixels).t());
            add_product(sum, inputs, [rows, inputs, pixels], a, b);
        }
    });
    total
}

/// Runs `f` on the matrix `[I · k², H · W]` of one image.
fn with_unrolled(x: &[f32], geometry: &Geometry, f: impl FnOnce(&[f32])) {
    if geometry.kernel == 1 {
        return f(x);
    }
    let &Geometry { height, width, kernel, .. } = geometry;
    let (pixels, half) = (geometry.pixels(), kernel / 2);
    with_scratch(geometry.inputs * geometry.taps() * pixels, |columns| {
        for (row, column) in columns.chunks_mut(pixels).enumerate() {
            let (channel, tap) = (row / geometry.taps(), row % geometry.taps());
            let (down, right) = (tap / kernel, tap % kernel);
            let x = &x[channel * pixels..][..pixels];
            // The columns of the output for which this tap reads within the image.
            let first = half.saturating_sub(right).min(width);
            let end = (width + half).saturating_sub(right).clamp(first, width);
            for (i, out) in column.chunks_mut(width).enumerate() {
                match (i + down).checked_sub(half) {
                    Some(source) if source < height => {
                        out[..first].fill(0.0);
                        out[end..].fill(0.0);
                        if first < end {
                            let start = source * width + first + right - half;
                            out[first..end].copy_from_slice(&x[start..][..end - first]);
                        }
                    }
                    _ => out.fill(0.0),
                }
            }
        }
        f(columns);
    });
}
