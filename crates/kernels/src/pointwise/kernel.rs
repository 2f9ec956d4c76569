//! Loops of the element-wise operations.

use std::mem::MaybeUninit;

use crate::isa::compile_for_isa;
use crate::math::{mul_add, sigmoid, silu_derivative};

compile_for_isa! {
    /// `y = (a + b) · scale`.
    pub(super) fn add_scaled(a: &[f32], b: &[f32], y: &mut [MaybeUninit<f32>], scale: f32)
        = add_scaled_of
}

#[inline(always)]
fn add_scaled_of<const FMA: bool>(a: &[f32], b: &[f32], y: &mut [MaybeUninit<f32>], scale: f32) {
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        y.write((a + b) * scale);
    }
}

compile_for_isa! {
    /// `y = a · a_factor + b · b_factor`.
    pub(super) fn weighted_sum(
        a: &[f32],
        b: &[f32],
        y: &mut [MaybeUninit<f32>],
        factors: [f32; 2],
    ) = weighted_sum_of
}

#[inline(always)]
fn weighted_sum_of<const FMA: bool>(
    a: &[f32],
    b: &[f32],
    y: &mut [MaybeUninit<f32>],
    factors: [f32; 2],
) {
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        y.write(mul_add::<FMA>(*a, factors[0], b * factors[1]));
    }
}

compile_for_isa! {
    /// `y = x · scale`.
    pub(super) fn scaled(x: &[f32], y: &mut [MaybeUninit<f32>], scale: f32) = scaled_of
}

#[inline(always)]
fn scaled_of<const FMA: bool>(x: &[f32], y: &mut [MaybeUninit<f32>], scale: f32) {
    for (x, y) in x.iter().zip(y) {
        y.write(x * scale);
    }
}

compile_for_isa! {
    /// `y = x + shift`.
    pub(super) fn shifted(x: &[f32], y: &mut [MaybeUninit<f32>], shift: f32) = shifted_of
}

#[inline(always)]
fn shifted_of<const FMA: bool>(x: &[f32], y: &mut [MaybeUninit<f32>], shift: f32) {
    for (x, y) in x.iter().zip(y) {
        y.write(x + shift);
    }
}

compile_for_isa! {
    /// `y = silu(x)`.
    pub(super) fn silu(x: &[f32], y: &mut [MaybeUninit<f32>]) = silu_of
}

#[inline(always)]
fn silu_of<const FMA: bool>(x: &[f32], y: &mut [MaybeUninit<f32>]) {
    for (x, y) in x.iter().zip(y) {
        y.write(x * sigmoid::<FMA>(*x));
    }
}

compile_for_isa! {
    /// `y = grad · silu'(x)`.
    pub(super) fn through_silu(x: &[f32], grad: &[f32], y: &mut [MaybeUninit<f32>])
        = through_silu_of
}

#[inline(always)]
fn through_silu_of<const FMA: bool>(x: &[f32], grad: &[f32], y: &mut [MaybeUninit<f32>]) {
    for ((x, grad), y) in x.iter().zip(grad).zip(y) {
        y.write(grad * silu_derivative::<FMA>(*x, sigmoid::<FMA>(*x)));
    }
}
