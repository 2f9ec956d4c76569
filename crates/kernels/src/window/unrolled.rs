//! Convolution on any processor: the weight times a matrix of the elements under the window.

use rayon::prelude::*;

use super::target::{Target, Way};
use super::{Images, Sizes, Window, relu};
use crate::buffer::{as_uninit, with_scratch};
use crate::product::{Matrix, product};

/// A convolution with bias and ReLU.
pub(super) struct Unrolled {
    /// `[O, terms]`
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Unrolled {
    pub(super) fn new(weight: &[f32], bias: &[f32]) -> Self {
        Self { weight: weight.to_vec(), bias: bias.to_vec() }
    }
}

impl Way for Unrolled {
    fn run(&self, x: Images<'_>, sizes: Sizes, target: Target) {
        let (places, outputs) = (sizes.outputs(), self.bias.len());
        let terms = self.weight.len() / outputs;
        (0..x.batch).into_par_iter().for_each(|image| {
            let len = sizes.channels * sizes.pixels();
            let x = &x.numbers[image * len..][..len];
            with_scratch((terms + outputs) * places, |scratch| {
                let (columns, y) = scratch.split_at_mut(terms * places);
                unroll(x, columns, sizes);
                let (a, b) = (Matrix::rows(&self.weight, terms), Matrix::rows(columns, places));
                product(as_uninit(y), places, [outputs, places, terms], a, b, 1.0);
                for (output, (y, bias)) in y.chunks_exact_mut(places).zip(&self.bias).enumerate() {
                    y.iter_mut().for_each(|it| *it += bias);
                    relu(y);
                    // SAFETY: only this task writes the image.
                    unsafe { target.write(image, output, 0, y) };
                }
            });
        });
    }
}

/// Writes `[C · h · w, H' · W']`: for each element of the window, the pixel under it for every
/// output pixel.
fn unroll(x: &[f32], columns: &mut [f32], sizes: Sizes) {
    let Sizes { sides: [height, width], places: [rows, row], window, .. } = sizes;
    let Window { size: [_, window_width], stride, padding } = window;
    let per_channel = window.size[0] * window_width;
    for (term, column) in columns.chunks_exact_mut(rows * row).enumerate() {
        let (channel, at) = (term / per_channel, term % per_channel);
        let (u, v) = (at / window_width, at % window_width);
        let x = &x[channel * height * width..][..height * width];
        for (i, target) in column.chunks_exact_mut(row).enumerate() {
            let source = (i * stride + u).checked_sub(padding[0]).filter(|it| *it < height);
            let Some(source) = source else {
                target.fill(0.0);
                continue;
            };
            let x = &x[source * width..][..width];
            for (j, target) in target.iter_mut().enumerate() {
                let at = (j * stride + v).wrapping_sub(padding[1]);
                *target = x.get(at).copied().unwrap_or(0.0);
            }
        }
    }
}
