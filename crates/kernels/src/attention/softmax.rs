//! The softmax of a row, in place, and its gradient.

use std::mem::MaybeUninit;

use crate::isa::compile_for_isa;
use crate::math::exp;
use crate::reduce::{LANES, fold, lanewise};

compile_for_isa! {
    /// `x ← eˣ / Σ eˣ` for initialized `x`. NaN or positive infinity make the whole row NaN.
    pub(super) fn softmax(x: &mut [MaybeUninit<f32>]) = softmax_of
}

#[inline(always)]
fn softmax_of<const FMA: bool>(x: &mut [MaybeUninit<f32>]) {
    // SAFETY: `Head::forward` has written the logits by a product.
    let x = unsafe { &mut *(std::ptr::from_mut::<[_]>(x) as *mut [f32]) };
    let highest = highest(x);
    for x in x.iter_mut() {
        *x = exp::<FMA>(*x - highest);
    }
    let inverse = 1.0 / lanewise(x, |x| x);
    x.iter_mut().for_each(|x| *x *= inverse);
}

/// The largest element. NaN is ignored here; the exponentials propagate it.
#[inline(always)]
fn highest(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a < b { b } else { a };
    let (vectors, rest) = x.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for vector in vectors {
        for (lane, x) in lanes.iter_mut().zip(vector) {
            *lane = larger(*lane, *x);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| larger(a, *b))
}

compile_for_isa! {
    /// `g ← p (g − Σ p g)`: turns the gradient with respect to the softmax `p` into the gradient
    /// with respect to its logits.
    pub(super) fn through_softmax(p: &[f32], g: &mut [f32]) = through_softmax_of
}

#[inline(always)]
fn through_softmax_of<const FMA: bool>(p: &[f32], g: &mut [f32]) {
    let (ps, p_rest) = p.as_chunks::<LANES>();
    let (gs, g_rest) = g.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (p, g) in ps.iter().zip(gs) {
        for i in 0..LANES {
            sums[i] += p[i] * g[i];
        }
    }
    let rest = p_rest.iter().zip(g_rest).map(|(p, g)| p * g).sum::<f32>();
    let sum = fold(sums) + rest;
    for (p, g) in p.iter().zip(g) {
        *g = p * (*g - sum);
    }
}
