//! A distillation method as data.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{Divergence, Error, SigmaLaw, unbounded};

/// A distillation method: which objective it descends, on which divergence, at which noise levels,
/// with which weights, and with which terms beside.
///
/// No code anywhere is specific to one published method: each is a value of this type
/// ([`crate::presets`]). Keys that a file leaves out keep the values of [`Method::default`], the
/// exact Uni-Instruct with forward KL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Method {
    /// Which gradient is descended.
    pub objective: Objective,
    /// Between student and teacher.
    pub divergence: Divergence,
    /// How the gap between the two denoisers is measured.
    pub distance: Distance,
    /// What stands for the student's denoiser.
    pub fake_score: FakeScore,
    /// Noise levels at which the generator is trained.
    pub sigma_law: SigmaLaw,
    /// Noise levels at which the student's denoiser is trained.
    pub fake_sigma_law: SigmaLaw,
    /// Weight of a noise level in the denoising loss of the student's denoiser.
    #[serde(skip_serializing_if = "FakeWeighting::is_edm")]
    pub fake_weighting: FakeWeighting,
    /// Weight of a noise level.
    pub weighting: Weighting,
    /// From a discriminator's logits to weights; read only if [`Method::needs_ratio`].
    pub ratio: RatioConfig,
    /// A GAN term beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adversarial: Option<Adversarial>,
    /// A regression on the teacher's own noise-image pairs beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regression: Option<Regression>,
    /// Updates of the student's denoiser (and discriminator) for each update of the generator.
    pub fake_updates: NonZeroU32,
    /// Level of the noise that the generator maps to samples, in data units.
    pub sigma_init: f64,
}

/// Which gradient a method descends at a noise level. With `A = Δ·(D_q - x₀)`, `B = |Δ|²`,
/// `Δ = D_q - D_p` (theory of the three parts: [`crate::surrogate`]).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Objective {
    /// The expanded divergence `E_q[h |δ|²]`, exactly: score matching, squared gap and the
    /// correction with its cross term (Uni-Instruct, arXiv:2505.20755, Theorem 3.2, completed).
    Exact,
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

/// How the score-matching part measures the gap `Δ` between the denoisers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distance {
    /// `|Δ|²`.
    Squared,
    /// `√(|Δ|² + c²) - c` of the whole sample, so `Δ/√(|Δ|² + c²)` stands for `Δ` in `A`
    /// (SIM, arXiv:2410.16794). Defined for `sid` with `alpha` 1 alone.
    PseudoHuber {
        /// Where the distance turns from squared to linear, in data units, positive.
        c: f64,
    },
}

/// What stands for the student's denoiser `D_q`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FakeScore {
    /// A network trained on the student's samples.
    Trained,
    /// The sample itself, `D_q = x₀`: a student that is one point (SDS). Nothing is trained.
    Instance,
}

/// Weight of a noise level in the loss that the student's denoiser is trained by,
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
    /// Whether it is the usual one, which needs no mention.
    fn is_edm(&self) -> bool {
        *self == Self::Edm
    }
}

/// Weight of a noise level: the factor before the surrogate in denoiser form.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Weighting {
    /// `1/ω`, `ω = sg(mean|x₀ - D_p|)` of each sample, at least 1e-5 (DMD, SiD).
    PerSample,
    /// `1/ω(σ)` with `ω(σ) = √(2/π) √(v σ²/(σ²+v))`: the expectation of [`Weighting::PerSample`]
    /// when `D_p` is right and the data are normal. A function of σ alone, as the theory asks.
    Gaussian {
        /// The variance `v` of the data, positive.
        variance: f64,
    },
    /// 1.
    Uniform,
    /// `σ⁻³/π(σ)` with `π` the density of the law of σ: the surrogate's gradient is then half that
    /// of the divergence at σ = 0. Not for [`Objective::Integral`], whose levels each are a
    /// divergence of their own.
    Theory,
}

/// From logits to weights: see [`crate::RatioState`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatioConfig {
    /// The log-ratio is clamped to `±clamp`. 3 allows ratios from 0.05 to 20, as f-distill does.
    #[serde(with = "unbounded")]
    pub clamp: f64,
    /// Exponent of the ratio, `l → temper·l` after the clamp; below 1 it evens out the weights
    /// (forward KL becomes `alpha(1-temper)`).
    pub temper: f64,
    /// Number of bins in `ln σ`, in each of which the running mean of the weights is divided out;
    /// 0 for none.
    pub bins: usize,
    /// What a sample leaves of its bin's past, in (0, 1): the memory is `1/(1-bin_decay)` samples.
    pub bin_decay: f64,
    /// Whether the weights of a batch are made to have mean 1.
    pub normalize_batch: bool,
    /// The correction of [`Objective::Exact`] is clipped to `±correction_clip` times the gap.
    ///
    /// Its sign is mostly that of `A`, whose mean given `x` is zero: beside its signal it is noise
    /// of the order of `|Δ|/σ`. Unclipped it is exact, and of use where `|Δ| < σ`; on Fashion-MNIST
    /// 0.1 trained well and 1 did not (docs/theory.md, "The clip").
    #[serde(with = "unbounded")]
    pub correction_clip: f64,
}

/// A non-saturating GAN term on the noised images, `softplus(-l)`.
///
/// Both weights are per element: they multiply the term by the number of elements of a sample,
/// because the losses beside it are sums over those.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversarial {
    /// Weight in the generator's loss, at least 0: with 0 the discriminator is trained and the
    /// generator does not follow it yet.
    pub generator_weight: f64,
    /// Weight of the discriminator's cross-entropy beside the denoising loss, positive.
    pub discriminator_weight: f64,
}

/// A regression of the generator on pairs of noise and image made by the teacher's sampler (DMD,
/// arXiv:2311.18828, Eq. 9).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {
    /// Weight in the generator's loss, positive.
    pub weight: f64,
}

impl Default for Method {
    fn default() -> Self {
        Self {
            objective: Objective::Exact,
            divergence: Divergence::ForwardKl,
            distance: Distance::Squared,
            fake_score: FakeScore::Trained,
            sigma_law: SigmaLaw::KarrasRamp { min: 0.002, max: 80.0, rho: 7.0, t_max: 0.8 },
            fake_sigma_law: SigmaLaw::LogNormal { mean: -1.2, std: 1.2 },
            fake_weighting: FakeWeighting::Edm,
            weighting: Weighting::PerSample,
            ratio: RatioConfig::default(),
            adversarial: None,
            regression: None,
            fake_updates: NonZeroU32::MIN,
            sigma_init: 2.5,
        }
    }
}

impl Default for RatioConfig {
    fn default() -> Self {
        Self {
            clamp: 3.0,
            temper: 1.0,
            bins: 10,
            bin_decay: 0.999,
            normalize_batch: true,
            correction_clip: 0.1,
        }
    }
}

impl Method {
    /// The method with another weight of the squared gap; `None` if its objective has no alpha.
    #[must_use]
    pub fn with_alpha(self, alpha: f64) -> Option<Self> {
        match self.objective {
            Objective::Sid { .. } => Some(Self { objective: Objective::Sid { alpha }, ..self }),
            Objective::Exact | Objective::Integral => None,
        }
    }

    /// Whether the weights depend on the log-ratio: not so for reverse KL.
    pub fn needs_ratio(&self) -> bool {
        !self.divergence.profile().is_constant()
    }

    /// Whether a discriminator must be trained, for the ratio or for the GAN term.
    pub fn needs_discriminator(&self) -> bool {
        self.needs_ratio() || self.adversarial.is_some()
    }

    /// Whether a network for the student's denoiser must be trained.
    pub fn needs_fake_score(&self) -> bool {
        self.fake_score == FakeScore::Trained
    }

    /// Whether the loss has a gradient through the denoisers' input; if not, evaluate them
    /// detached.
    pub fn needs_input_gradient(&self) -> bool {
        self.objective != Objective::Integral
    }

    /// Whether the method means something: every field, and the fields beside each other.
    ///
    /// # Errors
    ///
    /// Names the field at fault and says what to do.
    pub fn validate(&self) -> Result<(), Error> {
        let at_fault = |field, problem: &str| Err(Error::method(field, problem));
        self.divergence.validate()?;
        self.sigma_law.validate("sigma_law")?;
        self.fake_sigma_law.validate("fake_sigma_law")?;
        self.ratio.validate()?;
        positive("sigma_init", self.sigma_init)?;
        if let Objective::Sid { alpha } = self.objective
            && !alpha.is_finite()
        {
            return at_fault("objective.sid.alpha", "must be finite");
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
        match self.weighting {
            Weighting::Gaussian { variance } => positive("weighting.gaussian.variance", variance)?,
            Weighting::Theory if self.objective == Objective::Integral => {
                return at_fault(
                    "weighting",
                    "theory is the weight of the expanded divergence, which the objective \
                     integral is not; choose uniform, gaussian or per-sample",
                );
            }
            Weighting::PerSample | Weighting::Uniform | Weighting::Theory => {}
        }
        if self.fake_score == FakeScore::Instance {
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
                    "beside a student that is one point nothing trains a discriminator; \
                     switch it off, or choose the fake score trained",
                );
            }
        }
        if let Some(Adversarial { generator_weight, discriminator_weight }) = self.adversarial {
            if generator_weight != 0.0 {
                positive("adversarial.generator_weight", generator_weight)?;
            }
            positive("adversarial.discriminator_weight", discriminator_weight)?;
        }
        if let Some(Regression { weight }) = self.regression {
            positive("regression.weight", weight)?;
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

impl RatioConfig {
    fn validate(&self) -> Result<(), Error> {
        let at_fault = |field, problem: &str| Err(Error::method(field, problem));
        // Infinity is allowed where it means "off"; NaN nowhere.
        if self.clamp.is_nan() || self.clamp <= 0.0 {
            return at_fault("ratio.clamp", "must be positive (\"inf\" for none)");
        }
        if self.correction_clip.is_nan() || self.correction_clip <= 0.0 {
            return at_fault("ratio.correction_clip", "must be positive (\"inf\" for none)");
        }
        positive("ratio.temper", self.temper)?;
        if !(0.0 < self.bin_decay && self.bin_decay < 1.0) {
            return at_fault("ratio.bin_decay", "must be between 0 and 1");
        }
        if LARGEST_BINS < self.bins {
            return at_fault("ratio.bins", "at most 10000 bins make sense");
        }
        Ok(())
    }
}

/// `ln` of the largest weight that is let into an `f32` without normalisation, halfway to overflow.
const LARGEST_LOG_WEIGHT: f64 = 40.0;

/// Size of the logits that an unclamped ratio must stand.
const LARGEST_LOGIT: f64 = 1e4;

/// More bins than samples in their memory would each know nothing.
const LARGEST_BINS: usize = 10_000;

fn positive(field: &'static str, x: f64) -> Result<(), Error> {
    if x.is_finite() && 0.0 < x {
        Ok(())
    } else {
        Err(Error::method(field, format!("{x} is not a positive number")))
    }
}
