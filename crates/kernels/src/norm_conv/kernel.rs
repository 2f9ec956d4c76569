//! Loops over one channel of a convolution's output while it is in the cache.

use crate::group_norm::moments::{ChannelMoments, Distances};
use crate::isa::compile_for_isa;
use crate::math::mul_add;
use crate::reduce::LANES;

compile_for_isa! {
    /// Sets `y` to `(y + shift + residual) · scale`, and returns the moments of the result.
    pub(super) fn finish(
        y: &mut [f32],
        residual: Option<&[f32]>,
        shift: f32,
        scale: f32,
    ) -> ChannelMoments = finish_of
}

#[inline(always)]
fn finish_of<const FMA: bool>(
    y: &mut [f32],
    residual: Option<&[f32]>,
    shift: f32,
    scale: f32,
) -> ChannelMoments {
    let len = y.len();
    let (vectors, rest) = y.as_chunks_mut::<LANES>();
    let (residuals, residual_rest) = residual.unwrap_or_default().as_chunks::<LANES>();
    let finish = |i: usize, y: &mut [f32; LANES]| match residuals.get(i) {
        None => y.iter_mut().for_each(|y| *y = (*y + shift) * scale),
        Some(residual) => {
            for (y, residual) in y.iter_mut().zip(residual) {
                *y = (*y + shift + residual) * scale;
            }
        }
    };
    let finish_one = |i: usize, y: &mut f32| {
        *y = (*y + shift + residual_rest.get(i).copied().unwrap_or_default()) * scale;
    };
    let mut distances = match (vectors.split_first_mut(), rest.first_mut()) {
        (Some((first, _)), _) => {
            finish(0, first);
            let mut distances = Distances::from_mean_of(first);
            distances.add::<FMA>(first);
            distances
        }
        (None, first) => {
            let mut first = first.copied().unwrap_or_default();
            finish_one(0, &mut first);
            Distances::from(first)
        }
    };
    for (i, y) in vectors.iter_mut().enumerate().skip(1) {
        finish(i, y);
        distances.add::<FMA>(y);
    }
    for (i, y) in rest.iter_mut().enumerate() {
        finish_one(i, y);
        distances.add_one(*y);
    }
    distances.moments(len)
}

compile_for_isa! {
    /// Adds `factor · more` to `y`.
    pub(super) fn add_multiple(y: &mut [f32], more: &[f32], factor: f32) = add_multiple_of
}

#[inline(always)]
fn add_multiple_of<const FMA: bool>(y: &mut [f32], more: &[f32], factor: f32) {
    for (y, more) in y.iter_mut().zip(more) {
        *y = mul_add::<FMA>(*more, factor, *y);
    }
}
