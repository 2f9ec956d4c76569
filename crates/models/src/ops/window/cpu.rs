//! Windows on the CPU, in f32.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::{Pool, Window};
use crate::ops::buffer::{as_uninit, with_scratch};
use crate::ops::channels::Channels;
use crate::ops::conv2d::cpu as square;
use crate::ops::conv2d::source::Source;
use crate::ops::isa::Isa;
use crate::ops::product::{Matrix, product};
use crate::ops::storage::{tensor, with_dense};

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    sides: [usize; 2],
    places: [usize; 2],
    window: Window,
}

impl Sizes {
    fn pixels(&self) -> usize {
        self.sides[0] * self.sides[1]
    }

    fn outputs(&self) -> usize {
        self.places[0] * self.places[1]
    }

    /// The pixels of an axis that the window covers at a place, and the first that is in the image.
    fn covered(&self, axis: usize, place: usize) -> std::ops::Range<usize> {
        let start = place * self.window.stride;
        let (padding, size) = (self.window.padding[axis], self.window.size[axis]);
        start.saturating_sub(padding)..(start + size).saturating_sub(padding).min(self.sides[axis])
    }
}

/// As the public function, whose checks have been made.
pub(super) fn conv2d_relu(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: Window,
) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let sides = [height, width];
    let places = window.places("conv2d_relu", sides)?;
    let sizes = Sizes { channels, sides, places, window };
    let outputs = bias.elem_count();
    let shape = Shape::from((batch, outputs, places[0], places[1]));
    let y = with_dense(x, |x| {
        with_dense(weight, |weight| {
            with_dense(bias, |bias| {
                if [1, 3].map(|side| Window::same([side; 2])).contains(&window) {
                    return same(isa, x, [batch, height, width], weight, bias, window.size[0]);
                }
                Ok(unrolled(x, weight, bias, sizes))
            })
        })
    })?;
    tensor(y, &shape)
}

/// With a square of 1 or 3 that keeps the size, for which there are faster kernels.
fn same(
    isa: Isa,
    x: &[f32],
    [batch, height, width]: [usize; 3],
    weight: &[f32],
    bias: &[f32],
    kernel: usize,
) -> Result<Vec<f32>> {
    let inputs = weight.len() / (bias.len() * kernel * kernel);
    let x_shape = Shape::from((batch, inputs, height, width));
    let weight_shape = Shape::from((bias.len(), inputs, kernel, kernel));
    let geometry = square::geometry(&x_shape, &weight_shape)?;
    let source = Source::plain(Channels::new(x, inputs, height * width));
    Ok(square::forward(isa, &source, weight, Some(bias), &geometry, &|_, y| relu(y)))
}

fn relu(y: &mut [f32]) {
    // Not `max`, which would hide a NaN.
    y.iter_mut().for_each(|it| *it = if *it < 0.0 { 0.0 } else { *it });
}

/// As a matrix product of the weight and of what it sees at every place.
fn unrolled(x: &[f32], weight: &[f32], bias: &[f32], sizes: Sizes) -> Vec<f32> {
    let terms = weight.len() / bias.len();
    let image = sizes.channels * sizes.pixels();
    let (pixels, outputs) = (sizes.outputs(), bias.len());
    let mut y = vec![0f32; x.len() / image.max(1) * outputs * pixels];
    y.par_chunks_mut(outputs * pixels).zip(x.par_chunks(image.max(1))).for_each(|(y, x)| {
        with_scratch(terms * pixels, |columns| {
            unroll(x, columns, sizes);
            let (a, b) = (Matrix::rows(weight, terms), Matrix::rows(columns, pixels));
            product(as_uninit(y), pixels, [outputs, pixels, terms], a, b, 1.0);
        });
        for (y, bias) in y.chunks_exact_mut(pixels).zip(bias) {
            y.iter_mut().for_each(|it| *it += bias);
            relu(y);
        }
    });
    y
}

/// Writes `[C · h · w, H' · W']`: for each number of the window, what it meets at every place.
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

/// As the public functions, whose checks have been made.
pub(super) fn pool(x: &Tensor, window: Window, pool: Pool) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let sides = [height, width];
    let places = window.places("pool", sides)?;
    let sizes = Sizes { channels, sides, places, window };
    let y = with_dense(x, |x| {
        let mut y = vec![0f32; batch * channels * sizes.outputs()];
        let channels = x.par_chunks_exact(sizes.pixels());
        y.par_chunks_exact_mut(sizes.outputs()).zip(channels).for_each(|(y, x)| match pool {
            Pool::Max => reduce(x, y, sizes, f32::NEG_INFINITY, larger, |it, _| it),
            Pool::Average => reduce(x, y, sizes, 0.0, |a, b| a + b, |it, count| it / count as f32),
        });
        Ok(y)
    })?;
    tensor(y, &Shape::from((batch, channels, places[0], places[1])))
}

/// The larger number, or NaN if either is.
fn larger(a: f32, b: f32) -> f32 {
    if a < b || b.is_nan() { b } else { a }
}

/// Folds what the window covers at every place of a channel, first down the columns, then along.
fn reduce(
    x: &[f32],
    y: &mut [f32],
    sizes: Sizes,
    start: f32,
    fold: impl Fn(f32, f32) -> f32,
    finish: impl Fn(f32, usize) -> f32,
) {
    let (width, row) = (sizes.sides[1], sizes.places[1]);
    with_scratch(width, |column| {
        for (i, y) in y.chunks_exact_mut(row).enumerate() {
            let rows = sizes.covered(0, i);
            column.fill(start);
            for x in x[rows.start * width..rows.end * width].chunks_exact(width) {
                column.iter_mut().zip(x).for_each(|(sum, x)| *sum = fold(*sum, *x));
            }
            for (j, y) in y.iter_mut().enumerate() {
                let columns = sizes.covered(1, j);
                let count = rows.len() * columns.len();
                let all = column[columns].iter().fold(start, |all, it| fold(all, *it));
                *y = finish(all, count);
            }
        }
    });
}
