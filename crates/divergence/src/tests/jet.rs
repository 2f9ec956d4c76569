//! Truncated power series: all derivatives up to the fourth, to machine precision.

use std::ops::{Add, Div, Mul, Sub};

use crate::scalar::Scalar;

/// `Σ cₖ tᵏ`, up to the fourth power.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jet([f64; 5]);

impl Jet {
    /// The variable itself, around `x`.
    pub(super) fn variable(x: f64) -> Self {
        Self([x, 1.0, 0.0, 0.0, 0.0])
    }

    /// The derivative of order `k`, from the Taylor coefficient.
    pub(super) fn derivative(self, k: usize) -> f64 {
        self.0[k] * [1.0, 1.0, 2.0, 6.0, 24.0][k]
    }

    /// The series `y` with value `start` whose derivative satisfies `y' = rule(y)`, where `rule`
    /// gives coefficient `k` of `y'` from the coefficients of `y` up to `k`.
    fn solve(start: f64, rule: impl Fn(&[f64; 5], usize) -> f64) -> Self {
        let mut y = [start, 0.0, 0.0, 0.0, 0.0];
        for k in 0..4 {
            y[k + 1] = rule(&y, k) / (k as f64 + 1.0);
        }
        Self(y)
    }

    /// Coefficients of the derivative.
    fn slope(self) -> [f64; 4] {
        std::array::from_fn(|k| self.0[k + 1] * (k as f64 + 1.0))
    }
}

impl Add for Jet {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|k| self.0[k] + other.0[k]))
    }
}

impl Sub for Jet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(std::array::from_fn(|k| self.0[k] - other.0[k]))
    }
}

impl Mul for Jet {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|k| (0..=k).map(|i| self.0[i] * other.0[k - i]).sum()))
    }
}

impl Div for Jet {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let mut ratio = [0.0; 5];
        for k in 0..5 {
            let known: f64 = (0..k).map(|i| ratio[i] * other.0[k - i]).sum();
            ratio[k] = (self.0[k] - known) / other.0[0];
        }
        Self(ratio)
    }
}

impl Scalar for Jet {
    fn constant(value: f64) -> Self {
        Self([value, 0.0, 0.0, 0.0, 0.0])
    }

    /// `y' = x'/x`.
    fn ln(self) -> Self {
        let mut slope = Self([0.0; 5]);
        slope.0[..4].copy_from_slice(&self.slope());
        let quotient = slope / self;
        Self::solve(self.0[0].ln(), |_, k| quotient.0[k])
    }

    /// `y² = x`, coefficient by coefficient.
    fn sqrt(self) -> Self {
        let mut root = [self.0[0].sqrt(), 0.0, 0.0, 0.0, 0.0];
        for k in 1..5 {
            let known: f64 = (1..k).map(|i| root[i] * root[k - i]).sum();
            root[k] = (self.0[k] - known) / (2.0 * root[0]);
        }
        Self(root)
    }

    /// `y' = x' (y + 1)`.
    fn exp_m1(self) -> Self {
        let slope = self.slope();
        Self::solve(self.0[0].exp_m1(), |y, k| {
            let one = |i: usize| if i == 0 { 1.0 } else { 0.0 };
            (0..=k).map(|i| slope[k - i] * (y[i] + one(i))).sum()
        })
    }
}

#[test]
fn derivatives_of_a_product_are_known() {
    // y = x ln x: 1 + ln x, 1/x, -1/x², 2/x³.
    let x = Jet::variable(2.0);
    let y = x * x.ln();
    let want = [2.0 * 2f64.ln(), 1.0 + 2f64.ln(), 0.5, -0.25, 0.25];
    for (k, want) in want.into_iter().enumerate() {
        assert!((y.derivative(k) - want).abs() < 1e-15);
    }
    // √x and e^(ln x / 2) - 1 + 1 agree in every derivative.
    let (root, power) = (x.sqrt(), x.ln().scale(0.5).exp_m1());
    for k in 1..5 {
        assert!((root.derivative(k) - power.derivative(k)).abs() < 1e-15);
    }
}
