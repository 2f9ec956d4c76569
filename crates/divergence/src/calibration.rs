//! Calibration of an estimated log-ratio: a running logistic regression of real against generated samples.
//!
//! An estimate from imperfect denoisers has the wrong scale and offset. The regression
//!
//! ```text
//! P(real | x) = 1/(1 + e⁻ˡ),    l = w·φ(x)
//! ```
//!
//! of features `φ` corrects both: with equally many samples of both kinds, the best `l` is the log-ratio.
//! Its minimizer is found by Newton's method, one step for every batch, over an exponential window
//! of the past (the online Laplace approximation, also known as the extended Kalman filter of logistic
//! regression).

use serde::{Deserialize, Serialize};

/// Number of features: 1, two that the denoisers give at the sample itself, and the path integral.
pub const FEATURES: usize = 4;

/// Features of a sample: `(1, -Δ·(x - (D_p + D_q)/2)/σ², |Δ|²/σ², l of the path integral)`.
pub type CalibrationFeatures = [f64; FEATURES];

/// Coefficients before any sample: the path integral itself.
const PRIOR: CalibrationFeatures = [0.0, 0.0, 0.0, 1.0];
/// Weight of the prior, in samples.
const PRIOR_SAMPLES: f64 = 4.0;
/// Largest absolute value of a feature, relative to its root mean square.
const LARGEST_FEATURE: f64 = 6.0;
/// Largest information of a sample about its logit, `p(1 - p)` at `p = 1/2`.
const LARGEST_INFORMATION: f64 = 0.25;

/// Logistic regression of one bin of the noise level; part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Coefficients `w`.
    coefficients: CalibrationFeatures,
    /// Decayed sum of `p(1-p) φφᵀ`.
    information: [CalibrationFeatures; FEATURES],
    /// Decayed sum of `p(1-p) φ (w·φ) + (y - p) φ`.
    target: CalibrationFeatures,
    /// Decayed sum of `φ²`.
    squares: CalibrationFeatures,
    /// Decayed number of samples.
    samples: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            coefficients: PRIOR,
            information: [[0.0; FEATURES]; FEATURES],
            target: [0.0; FEATURES],
            squares: [0.0; FEATURES],
            samples: 0.0,
        }
    }
}

impl Calibration {
    /// The calibrated log-ratio `w·φ`, with features clamped to six times their root mean square.
    pub fn log_ratio(&self, features: &CalibrationFeatures) -> f64 {
        dot(&self.coefficients, &self.clamped(features))
    }

    /// Features without outliers: path integrals have heavy tails, and a few of them would decide the
    /// regression.
    fn clamped(&self, features: &CalibrationFeatures) -> CalibrationFeatures {
        let mut features = *features;
        if 0.0 < self.samples {
            for (value, squares) in features.iter_mut().zip(&self.squares) {
                let bound = LARGEST_FEATURE * (squares / self.samples).sqrt();
                *value = value.clamp(-bound, bound);
            }
        }
        features
    }

    /// Updates the regression with a batch of samples, each with its features and whether it is real.
    /// Each sample multiplies the weight of the past by `decay`. Samples whose features are not finite
    /// are left out.
    pub fn note(&mut self, batch: &[(CalibrationFeatures, bool)], decay: f64) {
        let finite = |it: &&(CalibrationFeatures, bool)| it.0.iter().all(|value| value.is_finite());
        let batch: Vec<_> = batch.iter().filter(finite).collect();
        if batch.is_empty() {
            return;
        }
        let kept = decay.powf(batch.len() as f64);
        self.samples = kept * self.samples + batch.len() as f64;
        self.information.as_flattened_mut().iter_mut().for_each(|it| *it *= kept);
        self.target.iter_mut().chain(&mut self.squares).for_each(|it| *it *= kept);
        for (features, _) in &batch {
            for (squares, value) in self.squares.iter_mut().zip(features) {
                *squares += value * value;
            }
        }
        for (features, real) in batch {
            let features = self.clamped(features);
            let logit = dot(&self.coefficients, &features);
            let p = 1.0 / (1.0 + (-logit).exp());
            let information = p * (1.0 - p);
            let residual = f64::from(u8::from(*real)) - p;
            for (i, &value) in features.iter().enumerate() {
                for (j, &other) in features.iter().enumerate() {
                    self.information[i][j] += information * value * other;
                }
                self.target[i] += (information * logit + residual) * value;
            }
        }
        self.solve();
    }

    /// Sets the coefficients to the solution of `(H + R) w = b + R w₀`. The prior's precision `R` is
    /// diagonal and in proportion to the mean square of each feature, so that their units do not matter.
    fn solve(&mut self) {
        let (mut matrix, mut right) = (self.information, self.target);
        for i in 0..FEATURES {
            let square = self.squares[i] / self.samples;
            let precision = LARGEST_INFORMATION * PRIOR_SAMPLES * square;
            // A feature that was always 0 has no information, and keeps its prior.
            let precision = if precision == 0.0 { 1.0 } else { precision };
            matrix[i][i] += precision;
            right[i] += precision * PRIOR[i];
        }
        if let Some(found) = solve(&matrix, &right) {
            self.coefficients = found;
        }
    }
}

fn dot(a: &CalibrationFeatures, b: &CalibrationFeatures) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves a symmetric positive definite system by Cholesky's factorization, scaled to a unit diagonal;
/// `None` if rounding has made it indefinite.
fn solve(
    matrix: &[CalibrationFeatures; FEATURES],
    right: &CalibrationFeatures,
) -> Option<CalibrationFeatures> {
    let scale: Vec<f64> = (0..FEATURES).map(|i| matrix[i][i].sqrt()).collect();
    let mut lower = [[0.0; FEATURES]; FEATURES];
    for i in 0..FEATURES {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let rest = matrix[i][j] / (scale[i] * scale[j]) - known;
            if i == j {
                if rest.is_nan() || rest <= f64::EPSILON {
                    return None;
                }
                lower[i][i] = rest.sqrt();
            } else {
                lower[i][j] = rest / lower[j][j];
            }
        }
    }
    let mut x = [0.0; FEATURES];
    for i in 0..FEATURES {
        let known: f64 = (0..i).map(|k| lower[i][k] * x[k]).sum();
        x[i] = (right[i] / scale[i] - known) / lower[i][i];
    }
    for i in (0..FEATURES).rev() {
        let known: f64 = (i + 1..FEATURES).map(|k| lower[k][i] * x[k]).sum();
        x[i] = (x[i] - known) / lower[i][i];
    }
    x.iter_mut().zip(&scale).for_each(|(x, scale)| *x /= scale);
    x.iter().all(|it| it.is_finite()).then_some(x)
}
