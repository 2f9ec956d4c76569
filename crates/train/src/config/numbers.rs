//! Numbers that validate while a configuration is parsed.

use serde::{Deserialize, Serialize};

/// A finite number greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Positive(f64);

impl Positive {
    /// The constant `x`, which must be finite and positive.
    ///
    /// # Panics
    ///
    /// If it is not; in a constant that is a compile error.
    pub const fn literal(x: f64) -> Self {
        assert!(0.0 < x && x < f64::INFINITY, "a positive literal");
        Self(x)
    }

    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Positive {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        if x.is_finite() && 0.0 < x {
            Ok(Self(x))
        } else {
            Err(format!("{x} is not a positive number"))
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
    /// The constant `x`, which must be finite and not negative.
    ///
    /// # Panics
    ///
    /// If it is not; in a constant that is a compile error.
    pub const fn literal(x: f64) -> Self {
        assert!(0.0 <= x && x < f64::INFINITY, "a literal of at least zero");
        Self(x)
    }

    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for NonNegative {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        if x.is_finite() && 0.0 <= x {
            Ok(Self(x))
        } else {
            Err(format!("{x} is not a finite number of at least zero"))
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
    /// The constant `x`, which must lie in [0, 1).
    ///
    /// # Panics
    ///
    /// If it does not; in a constant that is a compile error.
    pub const fn literal(x: f64) -> Self {
        assert!(0.0 <= x && x < 1.0, "a literal in [0, 1)");
        Self(x)
    }

    /// The value.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Fraction {
    type Error = String;

    fn try_from(x: f64) -> Result<Self, String> {
        if (0.0..1.0).contains(&x) { Ok(Self(x)) } else { Err(format!("{x} is not in [0, 1)")) }
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
    fn positive_rejects_zero_negative_and_non_finite() {
        for (x, valid) in
            [(1e-300, true), (0.0, false), (-1.0, false), (f64::NAN, false), (f64::INFINITY, false)]
        {
            assert_eq!(Positive::try_from(x).is_ok(), valid, "{x}");
        }
    }

    #[test]
    fn non_negative_rejects_negative_and_non_finite() {
        for (x, valid) in [(0.0, true), (2.5, true), (-1e-9, false), (f64::NAN, false)] {
            assert_eq!(NonNegative::try_from(x).is_ok(), valid, "{x}");
        }
    }

    #[test]
    fn fraction_includes_zero_and_excludes_one() {
        for (x, valid) in
            [(0.0, true), (0.999, true), (1.0, false), (-0.1, false), (f64::NAN, false)]
        {
            assert_eq!(Fraction::try_from(x).is_ok(), valid, "{x}");
        }
    }
}
