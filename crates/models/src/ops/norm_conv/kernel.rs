//! What is done to a channel of a convolution's output while it is in the cache.

use crate::ops::isa::compile_for_isa;
use crate::ops::math::mul_add;

compile_for_isa! {
    /// `y ← (y + shift + residual) · scale`.
    pub(super) fn finish(y: &mut [f32], residual: Option<&[f32]>, shift: f32, scale: f32)
        = finish_of
}

#[inline(always)]
fn finish_of<const FMA: bool>(y: &mut [f32], residual: Option<&[f32]>, shift: f32, scale: f32) {
    match residual {
        None => y.iter_mut().for_each(|y| *y = (*y + shift) * scale),
        Some(residual) => {
            for (y, residual) in y.iter_mut().zip(residual) {
                *y = (*y + shift + residual) * scale;
            }
        }
    }
}

compile_for_isa! {
    /// `y ← y + factor · more`.
    pub(super) fn add_multiple(y: &mut [f32], more: &[f32], factor: f32) = add_multiple_of
}

#[inline(always)]
fn add_multiple_of<const FMA: bool>(y: &mut [f32], more: &[f32], factor: f32) {
    for (y, more) in y.iter_mut().zip(more) {
        *y = mul_add::<FMA>(*more, factor, *y);
    }
}
