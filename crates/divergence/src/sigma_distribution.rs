//! Distributions of the noise level σ.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::normal::quantile;

/// A distribution of noise levels: a quantile map from uniform numbers, and its density.
///
/// ```
/// use uni_instruct_divergence::SigmaDistribution;
///
/// // SiD's ramp: σ in [0.002, 24.41], median 0.97 (arXiv:2404.04057).
/// let ramp = SigmaDistribution::KarrasRamp { min: 0.002, max: 80.0, rho: 7.0, t_max: 0.8 };
/// assert!((ramp.sigma(0.5) - 0.97).abs() < 0.01);
/// assert!((ramp.support().1 - 24.41).abs() < 0.01);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum SigmaDistribution {
    /// `ln σ` is normal (Karras et al. 2022, arXiv:2206.00364, Table 1: -1.2 and 1.2).
    LogNormal {
        /// Mean of `ln σ`.
        mean: f64,
        /// Standard deviation of `ln σ`, positive.
        std: f64,
    },
    /// `σ^(1/rho) = min^(1/rho) + t (max^(1/rho) - min^(1/rho))`, `t` uniform in `(0, t_max)`: SiD's
    /// distribution, from Karras' schedule (arXiv:2206.00364, Eq. 5).
    KarrasRamp {
        /// σ at `t = 0`, positive.
        min: f64,
        /// σ at `t = 1`.
        max: f64,
        /// Exponent of the ramp, positive.
        rho: f64,
        /// Share of the ramp that is used, counted from small σ, in (0, 1].
        t_max: f64,
    },
    /// Karras' schedule of `steps` noise levels in ascending order, with an index drawn uniformly from
    /// `first..=last`: the distribution of DMD2 and f-distill.
    UniformIndex {
        /// Number of levels.
        steps: u32,
        /// Smallest index drawn.
        first: u32,
        /// Largest index drawn.
        last: u32,
        /// Level at index 0, positive.
        min: f64,
        /// Level at index `steps - 1`.
        max: f64,
        /// Exponent of the ramp, positive.
        rho: f64,
    },
    /// `ln σ` is uniform.
    LogUniform {
        /// Smallest level, positive.
        min: f64,
        /// Largest level.
        max: f64,
    },
}

impl SigmaDistribution {
    /// The quantile at `u` in (0, 1). For a uniform `u` it is a sample of the distribution.
    pub fn sigma(&self, u: f64) -> f64 {
        match *self {
            Self::LogNormal { mean, std } => (mean + std * quantile(u)).exp(),
            Self::KarrasRamp { min, max, rho, t_max } => ramp(min, max, rho, u * t_max),
            Self::UniformIndex { first, last, .. } => {
                let count = f64::from(last) - f64::from(first) + 1.0;
                let index = f64::from(first) + (u * count).floor();
                self.level(index.min(f64::from(last)))
            }
            Self::LogUniform { min, max } => (min.ln() + u * (max / min).ln()).exp(),
        }
    }

    /// The density of σ, per unit of σ; 0 outside the support.
    ///
    /// A discrete distribution has the density of a histogram: the mass of each noise level is spread
    /// evenly over the points nearest to it. So `1/density`, summed over the levels with their masses,
    /// is the trapezoid rule.
    pub fn density(&self, sigma: f64) -> f64 {
        let (low, high) = self.support();
        if !(0.0 < sigma && low <= sigma && sigma <= high) {
            return 0.0;
        }
        match *self {
            Self::LogNormal { mean, std } => {
                let z = (sigma.ln() - mean) / std;
                (-0.5 * z * z).exp() / (sigma * std * (2.0 * std::f64::consts::PI).sqrt())
            }
            Self::KarrasRamp { min, max, rho, t_max } => {
                let width = max.powf(rho.recip()) - min.powf(rho.recip());
                sigma.powf(rho.recip() - 1.0) / (rho * t_max * width)
            }
            Self::UniformIndex { first, last, .. } => {
                let (first, last) = (f64::from(first), f64::from(last));
                let index = self.nearest_index(sigma).clamp(first, last);
                let here = self.level(index);
                let cell =
                    |neighbor: f64| 0.5 * (self.level(neighbor.clamp(first, last)) - here).abs();
                ((last - first + 1.0) * (cell(index - 1.0) + cell(index + 1.0))).recip()
            }
            Self::LogUniform { min, max } => (sigma * (max / min).ln()).recip(),
        }
    }

    /// The smallest and the largest level.
    pub fn support(&self) -> (f64, f64) {
        match *self {
            Self::LogNormal { .. } => (0.0, f64::INFINITY),
            Self::KarrasRamp { min, max, rho, t_max } => (min, ramp(min, max, rho, t_max)),
            Self::UniformIndex { first, last, .. } => {
                (self.level(f64::from(first)), self.level(f64::from(last)))
            }
            Self::LogUniform { min, max } => (min, max),
        }
    }

    /// Checks the parameters; errors name them as parts of `field`.
    ///
    /// # Errors
    ///
    /// Names the field and the parameter at fault.
    pub fn validate(&self, field: &'static str) -> Result<(), Error> {
        let positive = |name: &str, x: f64| {
            if x.is_finite() && 0.0 < x {
                Ok(())
            } else {
                Err(Error::method(field, format!("{name} = {x} must be a positive number")))
            }
        };
        let ascending = |min: f64, max: f64| {
            positive("min", min)?;
            positive("max", max)?;
            if min < max {
                Ok(())
            } else {
                Err(Error::method(field, format!("min = {min} must be below max = {max}")))
            }
        };
        match *self {
            Self::LogNormal { mean, std } => {
                positive("std", std)?;
                if mean.is_finite() {
                    Ok(())
                } else {
                    Err(Error::method(field, format!("mean = {mean} must be finite")))
                }
            }
            Self::KarrasRamp { min, max, rho, t_max } => {
                ascending(min, max)?;
                positive("rho", rho)?;
                if 0.0 < t_max && t_max <= 1.0 {
                    Ok(())
                } else {
                    Err(Error::method(field, format!("t_max = {t_max} must be in (0, 1]")))
                }
            }
            Self::UniformIndex { steps, first, last, min, max, rho } => {
                ascending(min, max)?;
                positive("rho", rho)?;
                if first < last && last < steps {
                    Ok(())
                } else {
                    Err(Error::method(
                        field,
                        format!(
                            "indices must satisfy first = {first} < last = {last} < steps = {steps}"
                        ),
                    ))
                }
            }
            Self::LogUniform { min, max } => ascending(min, max),
        }
    }

    /// The noise level at an index; NaN for a continuous distribution.
    fn level(&self, index: f64) -> f64 {
        match *self {
            Self::UniformIndex { steps, min, max, rho, .. } => {
                ramp(min, max, rho, index / (f64::from(steps) - 1.0))
            }
            _ => f64::NAN,
        }
    }

    /// The index of the nearest noise level; NaN for a continuous distribution.
    fn nearest_index(&self, sigma: f64) -> f64 {
        let Self::UniformIndex { steps, min, max, rho, .. } = *self else { return f64::NAN };
        let [low, high, here] = [min, max, sigma].map(|x| x.powf(rho.recip()));
        let below = ((f64::from(steps) - 1.0) * (here - low) / (high - low)).floor();
        let nearer_above = self.level(below + 1.0) - sigma < sigma - self.level(below);
        if nearer_above { below + 1.0 } else { below }
    }
}

/// Karras' ramp at the fraction `t`, from `min` to `max`.
fn ramp(min: f64, max: f64, rho: f64, t: f64) -> f64 {
    let (low, high) = (min.powf(rho.recip()), max.powf(rho.recip()));
    (low + t * (high - low)).powf(rho)
}
