//! Numbers that validate while a configuration is parsed.

use serde::{Deserialize, Serialize};

/// A finite number greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Positive(f64);

impl Positive {
    /// The number `x`, which must be finite and positive: for constants.
    ///
    /// # Panics
    ///
    /// If it is not; in a constant that is a compile error.
    pub const fn literal(x: f64) -> Self {
        assert!(0.0 < x && x < f64::INFINITY, "a positive literal");
        Self(x)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Positive {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        match x.is_finite() && 0.0 < x {
            true => Ok(Self(x)),
            false => Err(format!("{x} is not a positive number")),
        }
    }
}

impl From<Positive> for f64 {
    fn from(x: Positive) -> f64 {
        x.0
    }
}

/// A finite number of at least zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct NonNegative(f64);

impl NonNegative {
    /// The number `x`, which must be finite and not negative: for constants.
    ///
    /// # Panics
    ///
    /// If it is not; in a constant that is a compile error.
    pub const fn literal(x: f64) -> Self {
        assert!(0.0 <= x && x < f64::INFINITY, "a literal of at least zero");
        Self(x)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for NonNegative {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        match x.is_finite() && 0.0 <= x {
            true => Ok(Self(x)),
            false => Err(format!("{x} is not a number of at least zero")),
        }
    }
}

impl From<NonNegative> for f64 {
    fn from(x: NonNegative) -> f64 {
        x.0
    }
}

/// A number in [0, 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

impl Fraction {
    /// The number `x`, which must lie in [0, 1): for constants.
    ///
    /// # Panics
    ///
    /// If it does not; in a constant that is a compile error.
    pub const fn literal(x: f64) -> Self {
        assert!(0.0 <= x && x < 1.0, "a literal in [0, 1)");
        Self(x)
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Fraction {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        match (0.0..1.0).contains(&x) {
            true => Ok(Self(x)),
            false => Err(format!("{x} is not in [0, 1)")),
        }
    }
}

impl From<Fraction> for f64 {
    fn from(x: Fraction) -> f64 {
        x.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positive_finite_numbers_are_positive() {
        for (x, valid) in
            [(1e-300, true), (0.0, false), (-1.0, false), (f64::NAN, false), (f64::INFINITY, false)]
        {
            assert_eq!(Positive::try_from(x).is_ok(), valid, "{x}");
        }
    }

    #[test]
    fn only_finite_numbers_from_zero_on_are_non_negative() {
        for (x, valid) in [(0.0, true), (2.5, true), (-1e-9, false), (f64::NAN, false)] {
            assert_eq!(NonNegative::try_from(x).is_ok(), valid, "{x}");
        }
    }

    #[test]
    fn fractions_include_zero_and_exclude_one() {
        for (x, valid) in
            [(0.0, true), (0.999, true), (1.0, false), (-0.1, false), (f64::NAN, false)]
        {
            assert_eq!(Fraction::try_from(x).is_ok(), valid, "{x}");
        }
    }
}
