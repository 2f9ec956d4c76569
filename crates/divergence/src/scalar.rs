//! Numbers in which a divergence's generators can be evaluated.
//!
//! Generators are written once, over this trait: the program evaluates them in `f64`, the tests in
//! truncated power series, which gives every derivative of `f` and `F` to machine precision.

use std::ops::{Add, Div, Mul, Sub};

/// A real number, or a truncated power series of one variable.
pub(crate) trait Scalar:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// A constant.
    fn constant(value: f64) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `eˣ - 1`, accurate near 0.
    fn exp_m1(self) -> Self;

    /// The product with a constant.
    fn scale(self, factor: f64) -> Self {
        Self::constant(factor) * self
    }

    /// The square.
    fn square(self) -> Self {
        self * self
    }
}

impl Scalar for f64 {
    fn constant(value: f64) -> Self {
        value
    }

    fn ln(self) -> Self {
        self.ln()
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }

    fn exp_m1(self) -> Self {
        self.exp_m1()
    }
}
