//! Settings of the log-ratio: its estimator, and its conversion to weights.

use serde::{Deserialize, Serialize};

use crate::method::positive;
use crate::{Error, SigmaDistribution};

/// Source of the log-ratio `l = ln(p/q)`, teacher over student, that the weights are computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RatioEstimator {
    /// The logit of a discriminator that is trained on real images and the student's samples.
    #[default]
    Discriminator,
    /// The path integral over the two denoisers (docs/theory.md, "The log-ratio from two denoisers"):
    /// no discriminator and no images.
    Path,
    /// A logistic regression, in each bin of the noise level, of real images against the student's samples
    /// on the path integral and two features of the denoisers ([`crate::Calibration`]).
    PathCalibrated,
    /// A discriminator that is also regressed on the path integral, at the samples that it is trained on.
    Regressed,
    /// `l = 0`, a control: of the divergence, only the slopes κ of its weight at 0 remain.
    Constant,
    /// The estimates of [`Self::Path`], permuted within the batch, a control: the same distribution of
    /// weights without their relation to the samples.
    Permuted,
}

impl RatioEstimator {
    /// True if it evaluates path integrals over the denoisers.
    pub fn uses_path(self) -> bool {
        !matches!(self, Self::Discriminator | Self::Constant)
    }

    /// True if the estimate is the logit of a discriminator.
    pub fn is_discriminator(self) -> bool {
        matches!(self, Self::Discriminator | Self::Regressed)
    }

    /// True if path integrals train the estimator, at the samples of the fake score's step.
    pub fn trains_on_path(self) -> bool {
        matches!(self, Self::PathCalibrated | Self::Regressed)
    }

    /// True for the default, which files leave out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Settings of the path integral. Outside its noise levels and between its updates the integral is not
/// evaluated: `l` is 0, or is not trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathConfig {
    /// Strata of the path, `K`, at least 1. Each costs an evaluation of teacher and fake score, or two
    /// with `antithetic`.
    pub strata: u32,
    /// Evaluates each stratum at two opposite draws of the noise.
    pub antithetic: bool,
    /// Smallest noise level at which the estimator runs.
    pub min: f64,
    /// Largest noise level at which it runs. Above 3 there is little to estimate.
    pub max: f64,
    /// Noise level at the end of the path, at most the largest that the teacher accepts.
    pub end: f64,
    /// It runs at every update whose number is a multiple of this.
    pub every: u32,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self { strata: 8, antithetic: true, min: 0.0, max: 3.0, end: 80.0, every: 1 }
    }
}

impl PathConfig {
    /// True for the default, which files leave out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// True if the estimator runs at this noise level.
    pub fn runs_at(&self, sigma: f64) -> bool {
        (self.min..=self.max).contains(&sigma)
    }

    fn validate(&self, levels: &SigmaDistribution) -> Result<(), Error> {
        let at_fault = |field, problem: String| Err(Error::method(field, problem));
        if self.strata == 0 || MOST_STRATA < self.strata {
            let problem = format!("{} must be from 1 to {MOST_STRATA}", self.strata);
            return at_fault("ratio.path.strata", problem);
        }
        if self.every == 0 {
            return at_fault("ratio.path.every", "must be at least 1".into());
        }
        positive("ratio.path.end", self.end)?;
        if !(0.0 <= self.min && self.min < self.max && self.max <= self.end) {
            let Self { min, max, end, .. } = self;
            return at_fault(
                "ratio.path",
                format!(
                    "min = {min}, max = {max} and end = {end} must satisfy 0 <= min < max <= end"
                ),
            );
        }
        let (low, high) = levels.support();
        if self.max < low || high < self.min {
            return at_fault(
                "ratio.path",
                format!(
                    "its noise levels {} to {} are outside sigma_law's, {low} to {high}, so it \
                     would never run; change min or max",
                    self.min, self.max
                ),
            );
        }
        Ok(())
    }
}

/// More strata make no difference.
const MOST_STRATA: u32 = 1000;

/// Estimator of the log-ratio, and its conversion to weights: see [`crate::RatioState`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatioConfig {
    /// Source of the log-ratio.
    pub estimator: RatioEstimator,
    /// Settings of the estimators that are path integrals.
    pub path: PathConfig,
    /// The log-ratio is clamped to `±clamp`. 3 allows ratios from 0.05 to 20, as f-distill does.
    pub clamp: f64,
    /// Exponent of the ratio, `l → temper·l` after the clamp; below 1 it evens out the weights
    /// (forward KL becomes `alpha(1-temper)`).
    pub temper: f64,
    /// Number of bins in `ln σ`, each with a running mean; 0 for none.
    pub bins: usize,
    /// Decay of a bin's mean for each new sample, in (0, 1): the memory is `1/(1-bin_decay)`
    /// samples.
    pub bin_decay: f64,
    /// True: a bin holds the mean of `eˡ`, and its logarithm is subtracted from `l` before the clamp,
    /// since `E_q[eˡ] = 1` for the true ratio. False: it holds the mean of the weights, which are
    /// divided by it.
    pub recalibrate: bool,
    /// Divides the weights of a batch by their mean; in a batch of fewer than 8 samples, which would
    /// remove most of the contrast between its weights, by a running mean.
    pub normalize_batch: bool,
}

impl Default for RatioConfig {
    fn default() -> Self {
        Self {
            estimator: RatioEstimator::Discriminator,
            path: PathConfig::default(),
            clamp: 3.0,
            temper: 1.0,
            bins: 10,
            bin_decay: 0.999,
            recalibrate: false,
            normalize_batch: true,
        }
    }
}

impl RatioConfig {
    pub(crate) fn validate(&self, levels: &SigmaDistribution) -> Result<(), Error> {
        let at_fault = |field, problem: &str| Err(Error::method(field, problem));
        // Infinity is allowed where it means "off"; NaN nowhere.
        if self.clamp.is_nan() || self.clamp <= 0.0 {
            return at_fault("ratio.clamp", "must be positive (\"inf\" for none)");
        }
        positive("ratio.temper", self.temper)?;
        if !(0.0 < self.bin_decay && self.bin_decay < 1.0) {
            return at_fault("ratio.bin_decay", "must be between 0 and 1");
        }
        if LARGEST_BINS < self.bins {
            return at_fault("ratio.bins", "must be at most 10000");
        }
        if self.recalibrate && self.bins == 0 {
            return at_fault("ratio.recalibrate", "needs bins; set ratio.bins to at least 1");
        }
        if self.estimator.uses_path() {
            self.path.validate(levels)?;
        }
        Ok(())
    }
}

/// More bins than this would each hold no samples.
const LARGEST_BINS: usize = 10_000;
