//! The loops of group normalisation, over the pixels of a channel or a group.

use std::mem::MaybeUninit;

use crate::ops::isa::compile_for_isa;
use crate::ops::math::{mul_add, sigmoid, silu_derivative};
use crate::ops::reduce::{LANES, fold, lanewise};

/// Mean of a group, and `1 / √(var + eps)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) mean: f32,
    pub(super) inverse_deviation: f32,
}

/// `scale · x + shift`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    pub(super) scale: f32,
    pub(super) shift: f32,
}

compile_for_isa! {
    /// The moments of a group; the variance from the distances to the mean, in a second pass.
    pub(super) fn moments(x: &[f32], eps: f32) -> Moments = moments_of
}

#[inline(always)]
fn moments_of<const FMA: bool>(x: &[f32], eps: f32) -> Moments {
    let len = x.len() as f32;
    let mean = lanewise(x, |x| x) / len;
    let variance = lanewise(x, |x| (x - mean) * (x - mean)) / len;
    Moments { mean, inverse_deviation: 1.0 / (variance + eps).sqrt() }
}

compile_for_isa! {
    /// `y = scale · x + shift`, or its silu.
    pub(super) fn apply(x: &[f32], y: &mut [MaybeUninit<f32>], affine: Affine, silu: bool) = apply_to
}

#[inline(always)]
fn apply_to<const FMA: bool>(x: &[f32], y: &mut [MaybeUninit<f32>], affine: Affine, silu: bool) {
    let Affine { scale, shift } = affine;
    if silu {
        for (x, y) in x.iter().zip(y) {
            let z = mul_add::<FMA>(*x, scale, shift);
            y.write(z * sigmoid::<FMA>(z));
        }
    } else {
        for (x, y) in x.iter().zip(y) {
            y.write(mul_add::<FMA>(*x, scale, shift));
        }
    }
}

compile_for_isa! {
    /// Writes the gradient `d` by `z = scale · x̂ + shift`, from that by `z` or its silu; returns
    /// `[Σ d, Σ d x̂]`.
    pub(super) fn through_activation(
        x: &[f32],
        grad: &[f32],
        d: &mut [MaybeUninit<f32>],
        moments: Moments,
        affine: Affine,
        silu: bool,
    ) -> [f32; 2] = through_activation_of
}

#[inline(always)]
fn through_activation_of<const FMA: bool>(
    x: &[f32],
    grad: &[f32],
    d: &mut [MaybeUninit<f32>],
    moments: Moments,
    Affine { scale, shift }: Affine,
    silu: bool,
) -> [f32; 2] {
    let inverse = moments.inverse_deviation;
    let offset = -moments.mean * inverse;
    let normal = |x: f32| mul_add::<FMA>(x, inverse, offset);
    let gradient = |normal: f32, grad: f32| match silu {
        true => {
            let z = mul_add::<FMA>(normal, scale, shift);
            grad * silu_derivative::<FMA>(z, sigmoid::<FMA>(z))
        }
        false => grad,
    };
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (grads, grad_rest) = grad.as_chunks::<LANES>();
    let (ds, d_rest) = d.as_chunks_mut::<LANES>();
    let (mut sums, mut sums_normal) = ([0f32; LANES], [0f32; LANES]);
    for ((x, grad), d) in xs.iter().zip(grads).zip(ds) {
        for i in 0..LANES {
            let normal = normal(x[i]);
            let gradient = gradient(normal, grad[i]);
            d[i].write(gradient);
            sums[i] += gradient;
            sums_normal[i] = mul_add::<FMA>(gradient, normal, sums_normal[i]);
        }
    }
    let (mut sum, mut sum_normal) = (fold(sums), fold(sums_normal));
    for ((x, grad), d) in x_rest.iter().zip(grad_rest).zip(d_rest) {
        let normal = normal(*x);
        let gradient = gradient(normal, *grad);
        d.write(gradient);
        sum += gradient;
        sum_normal += gradient * normal;
    }
    [sum, sum_normal]
}

compile_for_isa! {
    /// `d ← a d + b x + c`, where `d` has been written.
    pub(super) fn through_norm(x: &[f32], d: &mut [MaybeUninit<f32>], factors: [f32; 3])
        = through_norm_of
}

#[inline(always)]
fn through_norm_of<const FMA: bool>(x: &[f32], d: &mut [MaybeUninit<f32>], [a, b, c]: [f32; 3]) {
    for (x, d) in x.iter().zip(d) {
        // SAFETY: `through_activation` has written it.
        let written = unsafe { d.assume_init() };
        d.write(mul_add::<FMA>(written, a, mul_add::<FMA>(*x, b, c)));
    }
}
