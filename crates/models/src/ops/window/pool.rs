//! Pools on the CPU, in f32.

use rayon::prelude::*;

use super::joined::Target;
use super::{Images, Pool, Sizes};
use crate::ops::buffer::with_scratch;
use crate::ops::isa::{Isa, compile_for_isa};

/// Writes all places of all channels of all images.
pub(super) fn pool(isa: Isa, x: Images<'_>, sizes: Sizes, pool: Pool, target: Target) {
    let channels = x.numbers.par_chunks_exact(sizes.pixels()).enumerate();
    channels.for_each(|(index, x)| {
        with_scratch(sizes.outputs() + sizes.padded_width(), |scratch| {
            let (y, column) = scratch.split_at_mut(sizes.outputs());
            match pool {
                Pool::Max => largest(isa, x, y, column, sizes),
                Pool::Average => mean(isa, x, y, column, sizes),
            }
            let (image, channel) = (index / sizes.channels, index % sizes.channels);
            // SAFETY: nobody else has this channel.
            unsafe { target.write(image, channel, 0, y) };
        });
    });
}

compile_for_isa! {
    fn largest(x: &[f32], y: &mut [f32], column: &mut [f32], sizes: Sizes) = largest_of
}

compile_for_isa! {
    fn mean(x: &[f32], y: &mut [f32], column: &mut [f32], sizes: Sizes) = mean_of
}

#[inline(always)]
fn largest_of<const FMA: bool>(x: &[f32], y: &mut [f32], column: &mut [f32], sizes: Sizes) {
    // The larger number, or NaN if either is.
    let larger = |a: f32, b: f32| if a < b || b.is_nan() { b } else { a };
    reduce(x, y, column, sizes, f32::NEG_INFINITY, larger);
}

#[inline(always)]
fn mean_of<const FMA: bool>(x: &[f32], y: &mut [f32], column: &mut [f32], sizes: Sizes) {
    reduce(x, y, column, sizes, 0.0, |a, b| a + b);
    for (i, y) in y.chunks_exact_mut(sizes.places[1]).enumerate() {
        let rows = sizes.covered(0, i).len();
        for (j, y) in y.iter_mut().enumerate() {
            *y /= (rows * sizes.covered(1, j).len()) as f32;
        }
    }
}

/// Folds what the window covers at every place of a channel, first down the columns, then along; what
/// is beyond the edge counts as `nothing`.
#[inline(always)]
fn reduce(
    x: &[f32],
    y: &mut [f32],
    column: &mut [f32],
    sizes: Sizes,
    nothing: f32,
    fold: impl Fn(f32, f32) -> f32,
) {
    let (width, window) = (sizes.sides[1], sizes.window);
    column.fill(nothing);
    for (i, y) in y.chunks_exact_mut(sizes.places[1]).enumerate() {
        let inner = &mut column[window.padding[1]..][..width];
        inner.fill(nothing);
        let rows = sizes.covered(0, i);
        for x in x[rows.start * width..rows.end * width].chunks_exact(width) {
            inner.iter_mut().zip(x).for_each(|(all, x)| *all = fold(*all, *x));
        }
        y.fill(nothing);
        for v in 0..window.size[1] {
            match window.stride {
                1 => y.iter_mut().zip(&column[v..]).for_each(|(all, x)| *all = fold(*all, *x)),
                2 => {
                    let (pairs, last) = column[v..].as_chunks::<2>();
                    let firsts = pairs.iter().map(|it| it[0]).chain(last.first().copied());
                    y.iter_mut().zip(firsts).for_each(|(all, x)| *all = fold(*all, x));
                }
                stride => {
                    let all = y.iter_mut().zip(column[v..].iter().step_by(stride));
                    all.for_each(|(all, x)| *all = fold(*all, *x));
                }
            }
        }
    }
}
