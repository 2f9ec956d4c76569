//! The published methods, as rows of one table.

use std::num::NonZeroU32;
use std::sync::LazyLock;

use serde::Serialize;

use crate::{
    Adversarial, CumulativeWeight, Distance, Divergence, FakeScoreSource, Method, Objective,
    PathConfig, RatioConfig, RatioEstimator, Regression, Reward, SigmaDistribution, Weighting,
};

/// A published method: a [`Method`] with a name and a source.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Preset {
    /// Name on the command line.
    pub name: &'static str,
    /// The method. A method that weighs by `h` accepts any divergence.
    pub method: Method,
    /// Description in one sentence.
    pub summary: &'static str,
    /// The loss of a sample, in the letters of [`crate::surrogate`].
    pub formula: &'static str,
    /// Source.
    pub paper: Paper,
}

/// A paper on arXiv.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Paper {
    /// Title.
    pub title: &'static str,
    /// Number, as in `arXiv:2505.20755`.
    pub arxiv: &'static str,
}

/// All presets, the exact Uni-Instruct first.
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// The preset of this name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|it| it.name == name)
}

/// EDM's distribution of noise levels in training (arXiv:2206.00364, Table 1).
const EDM: SigmaDistribution = SigmaDistribution::LogNormal { mean: -1.2, std: 1.2 };

/// SiD's distribution of the generator's noise levels, from 0.002 to 24.4 (arXiv:2404.04057).
pub(crate) const SID_RAMP: SigmaDistribution =
    SigmaDistribution::KarrasRamp { min: 0.002, max: 80.0, rho: 7.0, t_max: 0.8 };

/// The indices `first..=last` of Karras' thousand noise levels.
const fn thousand(first: u32, last: u32) -> SigmaDistribution {
    SigmaDistribution::UniformIndex { steps: 1000, first, last, min: 0.002, max: 80.0, rho: 7.0 }
}

/// SiDA's GAN term at the scale of its CIFAR-10 runs, per element. SiDA and Uni-Instruct give the
/// generator 0.01 relative to 100 times the matching loss, and divide both by `ω`, whose mean inverse is
/// about 40 over SiD's noise levels (38 for normal data of deviation 0.5). The discriminator has the mean
/// `λ(σ)/2 = 100` of 3072 elements.
const SIDA_GAN: Adversarial = Adversarial { generator_weight: 4e-3, discriminator_weight: 0.03 };

const UNI_INSTRUCT: Paper = Paper {
    title: "Uni-Instruct: One-step Diffusion Model through Unified Diffusion Divergence Instruction",
    arxiv: "2505.20755",
};

/// Calls of a few-step generator.
const FOUR: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// Updates of the fake score for each of the generator's: DMD2's, and f-distill's in its paper, whose
/// published loop makes four.
const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let sid = |alpha| Method {
        objective: Objective::Sid { alpha },
        divergence: Divergence::ReverseKl,
        sigma_law: SID_RAMP,
        fake_sigma_law: EDM,
        ..Method::default()
    };
    // Score implicit matching. c = 0.00054 √3072, the scale of improved consistency training
    // (arXiv:2310.14189).
    let sim = Method {
        distance: Distance::PseudoHuber { c: 0.03 },
        weighting: Weighting::Uniform,
        ..sid(1.0)
    };
    // Distribution matching at DMD's levels, from pure noise.
    let matching = Method {
        objective: Objective::Integral,
        divergence: Divergence::ReverseKl,
        sigma_law: thousand(20, 980),
        fake_sigma_law: thousand(0, 999),
        sigma_init: 80.0,
        ..Method::default()
    };
    vec![
        Preset {
            name: "uni-instruct",
            method: Method { adversarial: Some(SIDA_GAN), ..Method::default() },
            summary: "the expanded f-divergence with all terms of its gradient, and a GAN term",
            formula: "λ h { -A + (1+κ₁)/2 B + sg(clip[((κ₁+κ₂)B - 2κ₁A)/(2σ²)] Δ)·x }",
            paper: UNI_INSTRUCT,
        },
        Preset {
            name: "uni-instruct-integral",
            method: Method {
                objective: Objective::Integral,
                weighting: Weighting::Cumulative(CumulativeWeight::Sid { variance: 0.25 }),
                ratio: RatioConfig {
                    estimator: RatioEstimator::Path,
                    recalibrate: true,
                    path: PathConfig { strata: 1, ..PathConfig::default() },
                    ..RatioConfig::default()
                },
                ..Method::default()
            },
            summary: "the same objective as an integral of divergences, which needs no gradient through \
                      a denoiser; the ratio is a path integral over the denoisers",
            formula: "w(σ)/(π σ²) h sg(Δ)·x₀",
            paper: UNI_INSTRUCT,
        },
        Preset {
            name: "uni-instruct-paper",
            method: Method {
                divergence: Divergence::ForwardKl,
                adversarial: Some(SIDA_GAN),
                ..sid(1.0)
            },
            summary: "as released: score matching weighed by the ratio, and a GAN term; the ratio \
                      is each sample's own, from the logit",
            formula: "-λ h A",
            paper: UNI_INSTRUCT,
        },
        Preset {
            name: "diff-instruct",
            method: Method {
                sigma_law: EDM,
                fake_sigma_law: EDM,
                weighting: Weighting::Uniform,
                sigma_init: 1.0,
                ..matching.clone()
            },
            summary: "integral reverse KL at EDM's training levels",
            formula: "sg(Δ)·x₀",
            paper: Paper {
                title: "Diff-Instruct: A Universal Approach for Transferring Knowledge From \
                        Pre-trained Diffusion Models",
                arxiv: "2305.18455",
            },
        },
        Preset {
            name: "dmd",
            method: Method { regression: Some(Regression { weight: 0.25 }), ..matching.clone() },
            summary: "integral reverse KL, and a regression on the teacher's noise-image pairs",
            formula: "sg(Δ)·x₀/ω + regression",
            paper: Paper {
                title: "One-step Diffusion with Distribution Matching Distillation",
                arxiv: "2311.18828",
            },
        },
        Preset {
            name: "dmd2",
            method: Method {
                adversarial: Some(Adversarial {
                    generator_weight: 3e-3,
                    discriminator_weight: 1e-2,
                }),
                fake_updates: FIVE,
                ..matching.clone()
            },
            summary: "integral reverse KL and a GAN term, five updates of the fake score for one",
            formula: "sg(Δ)·x₀/ω + GAN",
            paper: Paper {
                title: "Improved Distribution Matching Distillation for Fast Image Synthesis",
                arxiv: "2405.14867",
            },
        },
        Preset {
            name: "f-distill",
            method: Method {
                divergence: Divergence::ForwardKl,
                sigma_law: thousand(2, 998),
                ratio: RatioConfig { recalibrate: true, ..RatioConfig::default() },
                adversarial: Some(Adversarial {
                    generator_weight: 1e-3,
                    discriminator_weight: 1e-2,
                }),
                fake_updates: FIVE,
                ..matching.clone()
            },
            summary: "integral f-divergence weighed by h of the discriminator's ratio, and a GAN \
                      term",
            formula: "h sg(Δ)·x₀/ω + GAN",
            paper: Paper {
                title: "One-step Diffusion Models with f-Divergence Distribution Matching",
                arxiv: "2502.15681",
            },
        },
        Preset {
            name: "sim",
            method: sim.clone(),
            summary: "score implicit matching with the pseudo-Huber distance",
            formula: "-Δ·(D_q - x₀)/√(|Δ|² + c²)",
            paper: Paper {
                title: "One-Step Diffusion Distillation through Score Implicit Matching",
                arxiv: "2410.16794",
            },
        },
        Preset {
            name: "sid",
            method: sid(1.2),
            summary: "score identity distillation; alpha 1/2 is exact reverse KL",
            formula: "{ -A + (1-α) B }/ω",
            paper: Paper {
                title: "Score identity Distillation: Exponentially Fast Distillation of Pretrained \
                        Diffusion Models for One-Step Generation",
                arxiv: "2404.04057",
            },
        },
        Preset {
            name: "sida",
            method: Method { adversarial: Some(SIDA_GAN), ..sid(1.0) },
            summary: "score identity distillation and a GAN term",
            formula: "{ -A + (1-α) B }/ω + GAN",
            paper: Paper {
                title: "Adversarial Score Identity Distillation: Rapidly Surpassing the Teacher in \
                        One Step",
                arxiv: "2410.14919",
            },
        },
        Preset {
            name: "sid-few-step",
            method: Method { steps: FOUR, ..sid(1.0) },
            summary: "score identity distillation of a generator that is called four times for an image",
            formula: "{ -A + (1-α) B }/ω, over a uniform mixture of the outputs of all steps",
            paper: Paper {
                title: "Few-Step Diffusion via Score identity Distillation",
                arxiv: "2505.12674",
            },
        },
        Preset {
            name: "di-star",
            method: Method { reward: Some(Reward { weight: 1.0 }), ..sim },
            summary: "score implicit matching and a reward, the log-probability of the label",
            formula: "-Δ·(D_q - x₀)/√(|Δ|² + c²) - reward",
            paper: Paper {
                title: "Diff-Instruct*: Towards Human-Preferred One-step Text-to-image Generative \
                        Models",
                arxiv: "2410.20898",
            },
        },
        Preset {
            name: "di-bregman",
            method: Method {
                divergence: Divergence::JensenShannon,
                ratio: RatioConfig { recalibrate: true, ..RatioConfig::default() },
                ..matching.clone()
            },
            summary: "Bregman matching of the density ratio to 1: the f-divergence whose f is Bregman's \
                      function, weighed by h of a classifier's ratio",
            formula: "h sg(Δ)·x₀/ω",
            paper: Paper {
                title: "One-step Diffusion Models with Bregman Density Ratio Matching",
                arxiv: "2510.16983",
            },
        },
        Preset {
            name: "sds",
            method: Method {
                fake_score: FakeScoreSource::Instance,
                weighting: Weighting::Uniform,
                ..matching.clone()
            },
            summary: "score distillation sampling: the student is one point, nothing else is \
                      trained",
            formula: "sg(x₀ - D_p)·x₀",
            paper: Paper {
                title: "DreamFusion: Text-to-3D using 2D Diffusion",
                arxiv: "2209.14988",
            },
        },
        Preset {
            name: "vsd",
            method: Method { weighting: Weighting::Uniform, ..matching },
            summary: "variational score distillation: a few points, and a fake score trained on \
                      them",
            formula: "sg(Δ)·x₀",
            paper: Paper {
                title: "ProlificDreamer: High-Fidelity and Diverse Text-to-3D Generation with \
                        Variational Score Distillation",
                arxiv: "2305.16213",
            },
        },
    ]
});
