//! Loops of group normalization over the pixels of a channel.

use std::mem::MaybeUninit;

use crate::isa::compile_for_isa;
use crate::math::{mul_add, sigmoid, silu_derivative};
use crate::reduce::{LANES, fold};

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
    /// Writes rows of `width` elements `scale · x + shift`, or its silu, at distances of `pitch` in
    /// `y`.
    pub(super) fn apply_rows(
        x: &[f32],
        y: &mut [MaybeUninit<f32>],
        width: usize,
        pitch: usize,
        affine: Affine,
        silu: bool,
    ) = apply_to_rows
}

#[inline(always)]
fn apply_to_rows<const FMA: bool>(
    x: &[f32],
    y: &mut [MaybeUninit<f32>],
    width: usize,
    pitch: usize,
    affine: Affine,
    silu: bool,
) {
    for (x, y) in x.chunks_exact(width).zip(y.chunks_mut(pitch)) {
        apply_to::<FMA>(x, &mut y[..width], affine, silu);
    }
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
    /// Turns the gradient with respect to `z = scale · x + shift`, or to its silu, into the
    /// gradient `d` with respect to `z`. Returns `[Σ d, Σ d x̂]`. Without `grad`, `d` contains the
    /// gradient.
    pub(super) fn through_activation(
        x: &[f32],
        grad: Option<&[f32]>,
        d: &mut [MaybeUninit<f32>],
        moments: Moments,
        affine: Affine,
        silu: bool,
    ) -> [f32; 2] = through_activation_of
}

#[inline(always)]
fn through_activation_of<const FMA: bool>(
    x: &[f32],
    grad: Option<&[f32]>,
    d: &mut [MaybeUninit<f32>],
    moments: Moments,
    Affine { scale, shift }: Affine,
    silu: bool,
) -> [f32; 2] {
    let inverse = moments.inverse_deviation;
    let offset = -moments.mean * inverse;
    let gradient = |x: f32, grad: f32| {
        if silu {
            let z = mul_add::<FMA>(x, scale, shift);
            grad * silu_derivative::<FMA>(z, sigmoid::<FMA>(z))
        } else {
            grad
        }
    };
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ds, d_rest) = d.as_chunks_mut::<LANES>();
    let (mut sums, mut sums_normal) = ([0f32; LANES], [0f32; LANES]);
    let (grads, grad_rest) = grad.unwrap_or_default().as_chunks::<LANES>();
    for (k, (x, d)) in xs.iter().zip(ds).enumerate() {
        let from = match grad {
            Some(_) => grads[k],
            // SAFETY: without `grad`, the caller has initialized `d`.
            None => d.map(|it| unsafe { it.assume_init() }),
        };
        for i in 0..LANES {
            let gradient = gradient(x[i], from[i]);
            d[i].write(gradient);
            sums[i] += gradient;
            let normal = mul_add::<FMA>(x[i], inverse, offset);
            sums_normal[i] = mul_add::<FMA>(gradient, normal, sums_normal[i]);
        }
    }
    let (mut sum, mut sum_normal) = (fold(sums), fold(sums_normal));
    for (k, (x, d)) in x_rest.iter().zip(d_rest).enumerate() {
        let from = match grad {
            Some(_) => grad_rest[k],
            // SAFETY: as above.
            None => unsafe { d.assume_init() },
        };
        let gradient = *d.write(gradient(*x, from));
        sum += gradient;
        sum_normal += gradient * mul_add::<FMA>(*x, inverse, offset);
    }
    [sum, sum_normal]
}

compile_for_isa! {
    /// `d ← a d + b x + c`, plus `more` times its factor.
    pub(super) fn through_norm(
        x: &[f32],
        d: &mut [f32],
        factors: [f32; 3],
        more: Option<(&[f32], f32)>,
    ) = through_norm_of
}

#[inline(always)]
fn through_norm_of<const FMA: bool>(
    x: &[f32],
    d: &mut [f32],
    [a, b, c]: [f32; 3],
    more: Option<(&[f32], f32)>,
) {
    match more {
        None => {
            for (x, d) in x.iter().zip(d) {
                *d = mul_add::<FMA>(*d, a, mul_add::<FMA>(*x, b, c));
            }
        }
        Some((more, factor)) => {
            for ((x, more), d) in x.iter().zip(more).zip(d) {
                let of_x = mul_add::<FMA>(*x, b, c);
                *d = mul_add::<FMA>(*d, a, mul_add::<FMA>(*more, factor, of_x));
            }
        }
    }
}
