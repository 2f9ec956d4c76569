//! Weights of noise levels as derivatives of a cumulative weight.
//!
//! By Corollary 1 of Uni-Instruct (arXiv:2505.20755), a divergence expanded with a non-decreasing
//! cumulative weight `W(σ)` is an integral of divergences, with the level weight `w = dW/dσ`:
//!
//! ```text
//! ∫ W(σ) σ E_q[h |δ|²] dσ + W(S) D_f(q_S‖p_S) = ∫ w(σ) D_f(q_σ‖p_σ) dσ
//! ```
//!
//! (docs/theory.md, "One objective, two estimators"). The right side needs no gradient through a
//! denoiser and is linear in the errors of both.

use serde::{Deserialize, Serialize};

use crate::presets::SID_RAMP;
use crate::{Error, SigmaDistribution};

/// A cumulative weight `W(σ)` of noise levels, non-decreasing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CumulativeWeight {
    /// SiD's: `W = π(σ) σ³/(2 ω(σ))`, with `π` the density of SiD's noise levels and `ω` as in
    /// [`crate::Weighting::Gaussian`]. It grows as `σ^(8/7)` below `√variance` and as `σ^(15/7)` above.
    Sid {
        /// The variance of the data, positive.
        variance: f64,
    },
    /// The theory's, a constant: the divergence at `σ = 0` alone. It is approached by a step at a small
    /// noise level, spread evenly over a factor of 2 in `σ`: `W` is 0 below `sigma`, 1 above `2 sigma`.
    Theory {
        /// Noise level at which the step begins, positive.
        sigma: f64,
    },
    /// `W = ln σ` up to a constant: every factor of `σ` has the same weight.
    Flat,
    /// Pairs `[σ, W]`, linear in `ln σ` between them and constant outside.
    Table(Vec<[f64; 2]>),
}

impl CumulativeWeight {
    /// The derivative `σ dW/dσ`, the weight of a unit of `ln σ`; 0 where `W` is constant.
    pub fn per_log_sigma(&self, sigma: f64) -> f64 {
        match self {
            Self::Sid { variance } => {
                // W = c σ^(1/ρ-1) σ³ / ω with 1/ω = √(π/2) √(1/v + 1/σ²), so W = c' σ^(a-1) √(1 + σ²/v).
                let relative = sigma * sigma / variance;
                let slope = SID_POWER - 1.0 + relative / (1.0 + relative);
                Self::sid(sigma, *variance) * slope
            }
            Self::Theory { sigma: start } => {
                let inside = *start <= sigma && sigma < 2.0 * start;
                if inside { std::f64::consts::LN_2.recip() } else { 0.0 }
            }
            Self::Flat => 1.0,
            Self::Table(rows) => {
                let above = rows.partition_point(|row| row[0] <= sigma);
                if above == 0 || above == rows.len() {
                    return 0.0;
                }
                let ([low, before], [high, after]) = (rows[above - 1], rows[above]);
                (after - before) / (high / low).ln()
            }
        }
    }

    /// SiD's cumulative weight.
    fn sid(sigma: f64, variance: f64) -> f64 {
        // The density is a power of σ, here also beyond its support.
        let density = SID_RAMP.density(1.0) * sigma.powf(SID_DENSITY_POWER);
        let inverse_omega =
            (std::f64::consts::FRAC_PI_2 * (variance.recip() + (sigma * sigma).recip())).sqrt();
        density * sigma.powi(3) * inverse_omega / 2.0
    }

    /// The factor of the integral surrogate at a noise level, `w(σ)/(π(σ) σ²)`, for noise levels of
    /// density `π`. The surrogate's gradient there is `σ²` times the gradient of `D_f(q_σ‖p_σ)`.
    #[cfg(feature = "tensor")]
    pub(crate) fn factor(&self, sigma: f64, levels: &SigmaDistribution) -> f64 {
        // A noise level at the end of the support may have been rounded beyond it.
        let (low, high) = levels.support();
        let density = levels.density(sigma.max(low).min(high));
        self.per_log_sigma(sigma) / (density * sigma.powi(3))
    }

    /// Checks the parameters, and that `W` grows somewhere in the support of the noise levels.
    ///
    /// # Errors
    ///
    /// Names the key at fault.
    pub(crate) fn validate(&self, levels: &SigmaDistribution) -> Result<(), Error> {
        const KEY: &str = "weighting.cumulative";
        let fault = |problem: String| Err(Error::method(KEY, problem));
        let positive = |name: &str, x: f64| {
            if x.is_finite() && 0.0 < x {
                Ok(())
            } else {
                fault(format!("{name} = {x} must be a positive number"))
            }
        };
        match self {
            Self::Sid { variance } => positive("sid.variance", *variance)?,
            Self::Theory { sigma } => positive("theory.sigma", *sigma)?,
            Self::Flat => {}
            Self::Table(rows) => {
                if rows.len() < 2 {
                    return fault("table needs at least two pairs [sigma, weight]".into());
                }
                for row in rows {
                    positive("a noise level of table", row[0])?;
                    if !row[1].is_finite() {
                        return fault(format!("table has the weight {}, not a number", row[1]));
                    }
                }
                for pair in rows.windows(2) {
                    let ([low, before], [high, after]) = (pair[0], pair[1]);
                    if high <= low {
                        return fault(format!(
                            "the noise levels of table must increase, but {high} follows {low}"
                        ));
                    }
                    if after < before {
                        return fault(format!(
                            "a cumulative weight must not decrease, but table falls from {before} at \
                             {low} to {after} at {high}"
                        ));
                    }
                }
            }
        }
        let (low, high) = levels.support();
        let grows = match self {
            Self::Sid { .. } | Self::Flat => true,
            Self::Theory { sigma } => *sigma < high && low < 2.0 * sigma,
            Self::Table(rows) => rows
                .windows(2)
                .any(|pair| pair[0][1] < pair[1][1] && pair[0][0] < high && low < pair[1][0]),
        };
        if grows {
            Ok(())
        } else {
            fault(format!(
                "it does not grow within the noise levels of sigma_law, {low} to {high}, so every \
                 weight is 0; change one of them"
            ))
        }
    }
}

/// Power of `σ` in the density of SiD's noise levels: `1/ρ - 1` of Karras' ramp with `ρ = 7`.
const SID_DENSITY_POWER: f64 = 1.0 / 7.0 - 1.0;
/// Power of `σ` in SiD's `W ω`.
const SID_POWER: f64 = SID_DENSITY_POWER + 3.0;
