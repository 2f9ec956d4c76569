//! Scalar functions, composed of operations that the compiler vectorizes.
//!
//! `FMA` is true if the code is compiled for a processor with fused multiply-adds. On other
//! processors, they would be calls of the C library.

/// `a b + c`.
#[inline(always)]
pub(super) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `eˣ` to within 2 units in the last place; 0 below −87.3, about 2e38 above 88.3, NaN for NaN.
///
/// `x = n ln 2 + r` with integer `n` and `|r| ≤ ln 2 / 2`; a polynomial gives `eʳ` (the minimax
/// coefficients of Cephes' `expf`), and `n` goes into the exponent.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    const HIGHEST: f32 = 88.3;
    /// Adding this constant rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 5] =
        [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    // The comparisons are false for NaN, so NaN propagates.
    let clamped = if x < LOWEST { LOWEST } else { x };
    let clamped = if HIGHEST < clamped { HIGHEST } else { clamped };
    let shifted = mul_add::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<FMA>(n, -LN_2_HIGH, clamped);
    let r = mul_add::<FMA>(n, -LN_2_LOW, r);
    let mut series = 1.987_569_1e-4;
    for coefficient in COEFFICIENTS {
        series = mul_add::<FMA>(series, r, coefficient);
    }
    let mantissa = mul_add::<FMA>(series, r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1f32.to_bits()));
    if x < LOWEST { 0.0 } else { mantissa * power }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// The derivative of `silu(x) = x sigmoid(x)`, where `s = sigmoid(x)`.
#[inline(always)]
pub(super) fn silu_derivative<const FMA: bool>(x: f32, s: f32) -> f32 {
    s * mul_add::<FMA>(x, 1.0 - s, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, compile_for_isa};

    compile_for_isa! {
        fn exp_of(x: f32) -> f32 = exp
    }

    #[test]
    fn exponential_is_close_and_keeps_nan() {
        for isa in Isa::all() {
            for i in -8700..=8800 {
                let x = i as f32 * 0.01;
                let expected = f64::from(x).exp();
                let error = (f64::from(exp_of(isa, x)) - expected).abs() / expected;
                assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}) is off by {error:.1e}");
            }
            assert_eq!(exp_of(isa, f32::NEG_INFINITY), 0.0);
            assert_eq!(exp_of(isa, -88.0), 0.0);
            assert!(2e38 < exp_of(isa, f32::INFINITY));
            assert!(exp_of(isa, f32::NAN).is_nan());
        }
    }
}
