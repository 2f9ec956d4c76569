//! The loops of Adam.

use crate::isa::compile_for_isa;
use crate::math::mul_add;

/// The scalars of one update.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors {
    /// Factor of the parameter after weight decay.
    pub(super) keep: f32,
    /// Step size divided by the first moment's bias.
    pub(super) rate: f32,
    /// Reciprocal of the second moment's bias.
    pub(super) scale: f32,
    pub(super) eps: f32,
}

compile_for_isa! {
    /// `x ← keep x + add y`.
    pub(super) fn average(x: &mut [f32], y: &[f32], keep: f32, add: f32) = average_of
}

#[inline(always)]
fn average_of<const FMA: bool>(x: &mut [f32], y: &[f32], keep: f32, add: f32) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = mul_add::<FMA>(*x, keep, add * y);
    }
}

compile_for_isa! {
    /// `x ← keep x + add y²`.
    pub(super) fn average_squares(x: &mut [f32], y: &[f32], keep: f32, add: f32)
        = average_squares_of
}

#[inline(always)]
fn average_squares_of<const FMA: bool>(x: &mut [f32], y: &[f32], keep: f32, add: f32) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = mul_add::<FMA>(*x, keep, add * (y * y));
    }
}

compile_for_isa! {
    /// `θ ← keep θ − rate · m / (√(v · scale) + ε)`.
    pub(super) fn update(param: &mut [f32], m: &[f32], v: &[f32], factors: Factors) = update_of
}

#[inline(always)]
fn update_of<const FMA: bool>(param: &mut [f32], m: &[f32], v: &[f32], factors: Factors) {
    let Factors { keep, rate, scale, eps } = factors;
    for ((param, m), v) in param.iter_mut().zip(m).zip(v) {
        let change = rate * m / ((v * scale).sqrt() + eps);
        *param = mul_add::<FMA>(*param, keep, -change);
    }
}
