//! Pools on the CPU, in f32.
//!
//! A channel gets a border and is then reduced as one long row, first down and then along, because
//! a row of a small image is shorter than the vectors.

use rayon::prelude::*;

use super::target::Target;
use super::{Images, Pool, Sizes};
use crate::buffer::with_scratch;
use crate::isa::{Isa, compile_for_isa};

/// Writes all output pixels of all channels of all images.
pub(super) fn pool(isa: Isa, x: Images<'_>, sizes: Sizes, pool: Pool, target: Target) {
    let counts = counts(sizes);
    let channels = x.numbers.par_chunks_exact(sizes.pixels()).enumerate();
    channels.for_each(|(index, x)| {
        let padded = sizes.padded()[0] * sizes.padded()[1];
        with_scratch(3 * padded + sizes.outputs(), |scratch| {
            let (padded, y) = scratch.split_at_mut(3 * padded);
            match pool {
                Pool::Max => largest(isa, x, y, padded, sizes),
                Pool::Average => mean(isa, x, y, padded, sizes, &counts),
            }
            let (image, channel) = (index / sizes.channels, index % sizes.channels);
            // SAFETY: only this task writes the channel.
            unsafe { target.write(image, channel, 0, y) };
        });
    });
}

/// Number of image pixels under the window, for each output pixel.
fn counts(sizes: Sizes) -> Vec<f32> {
    let covered = |axis: usize| (0..sizes.places[axis]).map(move |i| sizes.covered(axis, i));
    let pairs = covered(0).flat_map(|rows| covered(1).map(move |columns| (rows, columns)));
    pairs.map(|(rows, columns)| (rows * columns) as f32).collect()
}

compile_for_isa! {
    fn largest(x: &[f32], y: &mut [f32], padded: &mut [f32], sizes: Sizes) = largest_of
}

compile_for_isa! {
    fn mean(x: &[f32], y: &mut [f32], padded: &mut [f32], sizes: Sizes, counts: &[f32]) = mean_of
}

#[inline(always)]
fn largest_of<const FMA: bool>(x: &[f32], y: &mut [f32], padded: &mut [f32], sizes: Sizes) {
    // The larger element, or NaN if either is NaN.
    let larger = |a: f32, b: f32| if a < b || b.is_nan() { b } else { a };
    fold(x, y, padded, sizes, f32::NEG_INFINITY, larger);
}

#[inline(always)]
fn mean_of<const FMA: bool>(
    x: &[f32],
    y: &mut [f32],
    padded: &mut [f32],
    sizes: Sizes,
    counts: &[f32],
) {
    fold(x, y, padded, sizes, 0.0, |a, b| a + b);
    y.iter_mut().zip(counts).for_each(|(y, count)| *y /= count);
}

/// Reduces the elements under the window, for every output pixel of a channel. Elements beyond the
/// edge are `nothing`.
#[inline(always)]
fn fold(
    x: &[f32],
    y: &mut [f32],
    padded: &mut [f32],
    sizes: Sizes,
    nothing: f32,
    fold: impl Fn(f32, f32) -> f32,
) {
    let (window, [height, pitch]) = (sizes.window, sizes.padded());
    let [rows, width] = sizes.places;
    let (padded, folds) = padded.split_at_mut(height * pitch);
    let (down, along) = folds.split_at_mut(height * pitch);
    let source = match window.padding {
        [0, 0] => x,
        [above, left] => {
            padded.fill(nothing);
            let targets = padded.chunks_exact_mut(pitch).skip(above);
            targets.zip(x.chunks_exact(sizes.sides[1])).for_each(|(target, x)| {
                copy(x, &mut target[left..][..x.len()]);
            });
            padded
        }
    };
    // With stride 1, all rows form one row.
    let (stretches, rows) = if window.stride == 1 { (1, rows) } else { (rows, 1) };
    for (i, y) in y.chunks_exact_mut(rows * width).enumerate().take(stretches) {
        // From the first pixel of the first window to the last pixel of the last window.
        let len = (rows - 1) * pitch + (width - 1) * window.stride + window.size[1];
        let source = &source[i * window.stride * pitch..];
        let down = &mut down[..len];
        copy(&source[..len], down);
        for u in 1..window.size[0] {
            down.iter_mut().zip(&source[u * pitch..]).for_each(|(all, x)| *all = fold(*all, *x));
        }
        let along = &mut along[..len - (window.size[1] - 1)];
        copy(&down[..along.len()], along);
        for v in 1..window.size[1] {
            along.iter_mut().zip(&down[v..]).for_each(|(all, x)| *all = fold(*all, *x));
        }
        for (y, along) in y.chunks_exact_mut(width).zip(along.chunks(pitch)) {
            match window.stride {
                1 => copy(&along[..width], y),
                stride => {
                    y.iter_mut().zip(along.iter().step_by(stride)).for_each(|(y, x)| *y = *x);
                }
            }
        }
    }
}

/// Copies a row. Rows are short, so a call of `memcpy` would take longer.
#[inline(always)]
fn copy(source: &[f32], target: &mut [f32]) {
    let (sources, source_rest) = source.as_chunks::<8>();
    let (targets, rest) = target.as_chunks_mut::<8>();
    sources.iter().zip(targets).for_each(|(source, target)| *target = *source);
    source_rest.iter().zip(rest).for_each(|(source, target)| *target = *source);
}
