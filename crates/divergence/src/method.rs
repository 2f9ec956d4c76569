//! A distillation method as data.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::written::WrittenMethod;
use crate::{
    Adversarial, CumulativeWeight, Divergence, Error, Frechet, RatioConfig, RatioEstimator,
    Regression, Reward, SigmaDistribution,
};

/// A distillation method: its objective, divergence, noise levels, weights and auxiliary terms.
///
/// No code anywhere is specific to one published method: each is a value of this type
/// ([`crate::presets`]). Keys that a file leaves out keep the values of [`Method::default`], the
/// exact Uni-Instruct with forward KL.
///
/// Files use these field names in kebab-case variants, with one exception: the clip of
/// [`Objective::Exact`] is written as `ratio.correction_clip`. Reading accepts both.
///
/// ```
/// use uni_instruct_divergence::{Method, Objective};
///
/// let old: Method = toml::from_str("objective = \"exact\"\nratio.correction_clip = 0.5").unwrap();
/// let new: Method = toml::from_str("objective.exact.clip = 0.5").unwrap();
/// assert_eq!(old.objective, Objective::Exact { clip: 0.5 });
/// assert_eq!(old, new);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenMethod", into = "WrittenMethod")]
pub struct Method {
    /// Gradient that the generator descends.
    pub objective: Objective,
    /// Divergence between student and teacher.
    pub divergence: Divergence,
    /// Measure of the gap between the two denoisers.
    pub distance: Distance,
    /// Source of the student's denoiser.
    pub fake_score: FakeScoreSource,
    /// Noise levels at which the generator is trained.
    pub sigma_law: SigmaDistribution,
    /// Noise levels at which the student's denoiser is trained.
    pub fake_sigma_law: SigmaDistribution,
    /// Weight of a noise level in the denoising loss of the student's denoiser.
    pub fake_weighting: FakeWeighting,
    /// Weight of a noise level in the generator's loss.
    pub weighting: Weighting,
    /// Conversion of the discriminator's logits to weights; used only if [`Method::needs_ratio`].
    pub ratio: RatioConfig,
    /// An additional GAN term.
    pub adversarial: Option<Adversarial>,
    /// An additional regression on the teacher's own pairs of noise and image.
    pub regression: Option<Regression>,
    /// An additional Fréchet distance of features.
    pub frechet: Option<Frechet>,
    /// An additional reward.
    pub reward: Option<Reward>,
    /// Updates of the student's denoiser (and discriminator) for each update of the generator.
    pub fake_updates: NonZeroU32,
    /// Noise level of the generator's input, in data units.
    pub sigma_init: f64,
    /// Calls of the generator for an image, `K`. Each call but the first gets the previous image, noised
    /// again. The loss is of a uniform mixture of the `K` outputs (SiD's few-step form, arXiv:2505.12674).
    pub steps: NonZeroU32,
}

/// Gradient that a method descends at a noise level, with `A = Δ·(D_q - x₀)`, `B = |Δ|²`,
/// `Δ = D_q - D_p`. [`crate::surrogate`] derives the three parts.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Objective {
    /// The exact gradient of the expanded divergence `E_q[h |δ|²]`: score matching, squared gap and
    /// the correction with its cross term (Uni-Instruct, arXiv:2505.20755, Theorem 3.2, completed).
    Exact {
        /// The correction is clipped to `±clip` times the gap; infinity for no clip.
        ///
        /// The correction mostly has the sign of `A`, whose mean given `x` is zero: relative to its
        /// signal it is noise of the order of `|Δ|/σ`. Without a clip it is exact, and
        /// useful where `|Δ| < σ`; on Fashion-MNIST 0.1 trained well and 1 did not
        /// (docs/theory.md, "The clip").
        clip: f64,
    },
    /// `h (-A + (1-alpha) B)`, no correction: SiD (arXiv:2404.04057). With `alpha` 1 it is score
    /// implicit matching; with `alpha` 1/2 and reverse KL it is [`Objective::Exact`].
    Sid {
        /// 1 leaves out the squared gap. Without a ratio, `alpha` acts like the gradient of the
        /// divergence `alpha(2(1-alpha))` whose weight was dropped.
        alpha: f64,
    },
    /// `h sg(Δ)·x₀`, the gradient of `∫ w(σ) D_f(q‖p) dσ` itself: Diff-Instruct, DMD, f-distill.
    /// Needs no gradient through a denoiser.
    Integral,
}

impl Objective {
    pub(crate) const DEFAULT_CLIP: f64 = 0.1;
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { .. } => f.write_str("exact expansion"),
            Self::Sid { alpha } => write!(f, "score identity (alpha {alpha})"),
            Self::Integral => f.write_str("integral"),
        }
    }
}

impl Default for Objective {
    /// The exact one, clipped at 0.1.
    fn default() -> Self {
        Self::Exact { clip: Self::DEFAULT_CLIP }
    }
}

/// Measure of the gap `Δ` between the denoisers in the score-matching part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distance {
    /// `|Δ|²`.
    Squared,
    /// `√(|Δ|² + c²) - c` of the whole sample, so `Δ/√(|Δ|² + c²)` stands for `Δ` in `A`
    /// (SIM, arXiv:2410.16794). Defined for `sid` with `alpha` 1 alone.
    PseudoHuber {
        /// Gap at which the distance turns from squared to linear, in data units, positive.
        c: f64,
    },
}

/// Source of the student's denoiser `D_q`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FakeScoreSource {
    /// A network trained on the student's samples.
    Trained,
    /// The sample itself, `D_q = x₀`: a student that is one point (SDS). No network is trained.
    Instance,
}

/// Weight of a noise level in the training loss of the student's denoiser,
/// `weight(σ) |D(x; σ) - x₀|²`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FakeWeighting {
    /// `(σ² + σ_data²)/(σ σ_data)²` (Karras et al. 2022, arXiv:2206.00364, Table 1).
    #[default]
    Edm,
    /// 1.
    Uniform,
}

impl FakeWeighting {
    /// True for the default, which files leave out.
    pub(crate) fn is_edm(&self) -> bool {
        *self == Self::Edm
    }
}

/// Weight of a noise level: the factor before the surrogate in denoiser form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Weighting {
    /// `1/ω`, `ω = sg(mean|x₀ - D_p|)` of each sample, at least 1e-5 (DMD, SiD).
    PerSample,
    /// `1/ω(σ)` with `ω(σ) = √(2/π) √(v σ²/(σ²+v))`: the expectation of [`Weighting::PerSample`]
    /// when `D_p` is right and the data are normal. A function of σ alone, as the theory requires.
    Gaussian {
        /// The variance `v` of the data, positive.
        variance: f64,
    },
    /// 1.
    Uniform,
    /// `σ⁻³/π(σ)` with `π` the density of the noise levels: the surrogate's gradient is then half
    /// the gradient of the divergence at σ = 0. Not for [`Objective::Integral`], where each noise
    /// level is a separate divergence.
    Theory,
    /// `w(σ)/(π(σ) σ²)` with `w` the derivative of a cumulative weight: the surrogate descends
    /// `∫ w(σ) D_f(q_σ‖p_σ) dσ`. For [`Objective::Integral`] alone.
    Cumulative(CumulativeWeight),
}

impl Default for Method {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            divergence: Divergence::ForwardKl,
            distance: Distance::Squared,
            fake_score: FakeScoreSource::Trained,
            sigma_law: SigmaDistribution::KarrasRamp {
                min: 0.002,
                max: 80.0,
                rho: 7.0,
                t_max: 0.8,
            },
            fake_sigma_law: SigmaDistribution::LogNormal { mean: -1.2, std: 1.2 },
            fake_weighting: FakeWeighting::Edm,
            weighting: Weighting::PerSample,
            ratio: RatioConfig::default(),
            adversarial: None,
            regression: None,
            frechet: None,
            reward: None,
            fake_updates: NonZeroU32::MIN,
            sigma_init: 2.5,
            steps: NonZeroU32::MIN,
        }
    }
}

impl Method {
    /// The method with another weight of the squared gap; `None` if its objective has no alpha.
    #[must_use]
    pub fn with_alpha(self, alpha: f64) -> Option<Self> {
        match self.objective {
            Objective::Sid { .. } => Some(Self { objective: Objective::Sid { alpha }, ..self }),
            Objective::Exact { .. } | Objective::Integral => None,
        }
    }

    /// True if the weights depend on the log-ratio, as they do for all but reverse KL.
    pub fn needs_ratio(&self) -> bool {
        !self.divergence.profile().is_constant()
    }

    /// True if a discriminator must be trained, for the ratio or for the GAN term.
    pub fn needs_discriminator(&self) -> bool {
        (self.needs_ratio() && self.ratio.estimator.is_discriminator())
            || self.adversarial.is_some()
    }

    /// True if real images are needed: for the discriminator, for the calibration of the ratio, or for the
    /// reference of a Fréchet distance.
    pub fn needs_real_images(&self) -> bool {
        let calibrates = self.ratio.estimator == RatioEstimator::PathCalibrated;
        self.needs_discriminator() || (self.needs_ratio() && calibrates) || self.frechet.is_some()
    }

    /// True if a network for the student's denoiser must be trained.
    pub fn needs_fake_score(&self) -> bool {
        self.fake_score == FakeScoreSource::Trained
    }

    /// True if the loss has a gradient through the denoisers' input; otherwise evaluate them
    /// detached.
    pub fn needs_input_gradient(&self) -> bool {
        self.objective != Objective::Integral
    }

    /// Checks every field, and the combination of fields.
    ///
    /// # Errors
    ///
    /// Names the field at fault and says what to do.
    pub fn validate(&self) -> Result<(), Error> {
        let at_fault = |field, problem: &str| Err(Error::method(field, problem));
        self.divergence.validate()?;
        self.sigma_law.validate("sigma_law")?;
        self.fake_sigma_law.validate("fake_sigma_law")?;
        self.ratio.validate(&self.sigma_law)?;
        positive("sigma_init", self.sigma_init)?;
        match self.objective {
            Objective::Sid { alpha } if !alpha.is_finite() => {
                return at_fault("objective.sid.alpha", "must be finite");
            }
            // Infinity switches the clip off.
            Objective::Exact { clip } if clip.is_nan() || clip <= 0.0 => {
                return at_fault("objective.exact.clip", "must be positive (\"inf\" for none)");
            }
            _ => {}
        }
        if let Distance::PseudoHuber { c } = self.distance {
            positive("distance.pseudo-huber.c", c)?;
            if self.objective != (Objective::Sid { alpha: 1.0 }) {
                return at_fault(
                    "distance",
                    "pseudo-huber is defined for the objective sid with alpha 1 alone; \
                     choose it, or the distance squared",
                );
            }
        }
        match &self.weighting {
            Weighting::Gaussian { variance } => positive("weighting.gaussian.variance", *variance)?,
            Weighting::Cumulative(_) if self.objective != Objective::Integral => {
                return at_fault(
                    "weighting",
                    "cumulative is a weight of the objective integral; choose it, or one of theory, \
                     uniform, gaussian and per-sample",
                );
            }
            Weighting::Cumulative(weight) => weight.validate(&self.sigma_law)?,
            Weighting::Theory if self.objective == Objective::Integral => {
                return at_fault(
                    "weighting",
                    "theory is the weight of the expanded divergence, not of the objective integral; \
                     choose cumulative, uniform, gaussian or per-sample",
                );
            }
            Weighting::PerSample | Weighting::Uniform | Weighting::Theory => {}
        }
        if self.fake_score == FakeScoreSource::Instance {
            if self.ratio.estimator.uses_path() {
                return at_fault(
                    "ratio.estimator",
                    "a path integral needs the student's denoiser, and a student that is one point \
                     has none; choose the fake score trained",
                );
            }
            if self.objective != Objective::Integral {
                return at_fault(
                    "fake_score",
                    "a student that is one point has no gap to its own denoiser; \
                     choose the objective integral, or the fake score trained",
                );
            }
            if self.needs_ratio() {
                return at_fault(
                    "fake_score",
                    "a student that is one point has no density, so no ratio; \
                     choose the divergence reverse-kl, or the fake score trained",
                );
            }
            if self.adversarial.is_some() {
                return at_fault(
                    "adversarial",
                    "nothing trains a discriminator for a student that is one point; switch it off, \
                     or choose the fake score trained",
                );
            }
        }
        if let Some(term) = &self.adversarial {
            term.validate()?;
        }
        if let Some(term) = &self.regression {
            term.validate()?;
        }
        if let Some(term) = &self.frechet {
            term.validate()?;
        }
        if let Some(term) = &self.reward {
            term.validate()?;
        }
        if MOST_STEPS < self.steps.get() {
            return at_fault("steps", &format!("must be at most {MOST_STEPS}"));
        }
        if 1 < self.steps.get() && self.regression.is_some() {
            return at_fault(
                "regression",
                "it pairs the noise of a single step with an image; choose steps = 1, or switch it off",
            );
        }
        let profile = self.divergence.profile();
        // Without a clamp, logits as large as a broken discriminator may give.
        let reach = self.ratio.clamp.min(LARGEST_LOGIT) * self.ratio.temper;
        let largest = profile.log_eval(reach).max(profile.log_eval(-reach));
        if self.needs_ratio() && !self.ratio.normalize_batch && LARGEST_LOG_WEIGHT < largest {
            return at_fault(
                "ratio.clamp",
                "weights of this divergence would overflow; lower it, or set \
                 ratio.normalize_batch",
            );
        }
        Ok(())
    }
}

/// A generator of more steps costs more than its teacher.
const MOST_STEPS: u32 = 64;

/// `ln` of the largest weight allowed in an `f32` without normalization, halfway to overflow.
const LARGEST_LOG_WEIGHT: f64 = 40.0;

/// Largest logit for which unclamped weights must stay finite.
const LARGEST_LOGIT: f64 = 1e4;

pub(crate) fn positive(field: &'static str, x: f64) -> Result<(), Error> {
    if x.is_finite() && 0.0 < x {
        Ok(())
    } else {
        Err(Error::method(field, format!("{x} is not a positive number")))
    }
}
