//! The toy problem of docs/theory.md, "Fixed points", trained by the engine through its public API.
//!
//! A one-dimensional Gaussian student x₀ = μ + s z against a mixture of three, with every network
//! in closed form. The fixed point of each method is known to five digits from quadrature. Step,
//! noise, optimizer and average are those that train images.

use candle_core::{DType, Device};
use divergence::{
    CumulativeWeight, Divergence, Method, Objective, RatioConfig, SigmaDistribution, Weighting,
    mixture::GaussianMixture,
};
use models::{
    analytic::{AffineDenoiser, AffineGenerator, DensityRatio, MixtureDenoiser},
    params::{ParamSet, Params},
};
use uni_instruct_train::{
    Config, Engine, Networks, Outcome, Source, TrainState,
    config::{EmaConfig, Fraction, OptimizerConfig, Phase, Positive},
    step::KnownRatio,
};

const SIGMA_MIN: f64 = 0.002;
const SIGMA_MAX: f64 = 24.4;
/// Largest distance from the tabulated fixed point, of the mean and of the deviation.
const TOLERANCE: f64 = 0.02;

/// Samples in one update.
const BATCH: usize = 2048;

/// Weights, means and variances of the teacher's modes.
const TEACHER: [(f64, f64, f64); 3] = [(0.35, -1.92, 0.35), (0.25, 0.48, 0.25), (0.40, 2.40, 0.45)];

fn teacher() -> MixtureDenoiser {
    MixtureDenoiser::new(GaussianMixture::on_line(&TEACHER).unwrap()).unwrap()
}

/// Fixed point (μ, s) of a method, approached from near the teacher's moments.
fn fixed_point(method: Method, batch: usize) -> (f64, f64) {
    const UPDATES: u64 = 1500;
    let shown = batch as f64;
    let images = UPDATES * batch as u64;
    let config = Config {
        seed: 3,
        batch: batch.try_into().unwrap(),
        generator: OptimizerConfig {
            learning_rate: Positive::literal(0.02),
            beta1: Fraction::literal(0.0),
            // Nearly constant second moments, because a short memory biases the fixed point.
            beta2: Fraction::literal(0.9999),
            decay_images: Some(Positive::literal(100.0 * shown)),
            ..OptimizerConfig::default()
        },
        ema: EmaConfig {
            half_life: Positive::literal(500.0 * shown),
            ramp: Positive::literal(0.2),
        },
        phase: vec![Phase { images, train_generator: true, method }],
        ..Config::default()
    };
    let params = AffineGenerator::init(&[0.408], &[1.90], DType::F64).unwrap();
    let state = TrainState::new(params, ParamSet::default(), None).unwrap();
    let own = &state.generator.params;
    let generator = |params: &Params| AffineGenerator::build(params, 1);
    // The student's distribution follows the generator and passes gradients to its input alone.
    let fake = |_: &Params| -> models::Result<_> {
        let denoiser = AffineDenoiser::build(&own.frozen(), 1)?;
        let ratio = DensityRatio { teacher: teacher(), student: denoiser.clone() };
        Ok(KnownRatio { denoiser, ratio })
    };
    let networks = Networks::new(teacher(), &state, generator, fake, &[1], 1.0).unwrap();
    let mut engine = Engine::new(config, networks, state, Source::none(), Device::Cpu).unwrap();
    for _ in 0..UPDATES {
        assert!(matches!(engine.update().unwrap(), Outcome::Applied(_)));
    }
    let value = |name: &str| engine.state.ema.vars()[name].to_vec1::<f64>().unwrap()[0];
    (value("mu"), value("s"))
}

#[track_caller]
fn check(method: Method, expected: (f64, f64)) {
    check_with(BATCH, method, expected);
}

#[track_caller]
fn check_with(batch: usize, method: Method, (mean, deviation): (f64, f64)) {
    let (mu, s) = fixed_point(method, batch);
    let near = |found: f64, expected: f64| (found - expected).abs() < TOLERANCE;
    assert!(near(mu, mean) && near(s, deviation), "({mu:.4}, {s:.4}), not ({mean}, {deviation})");
}

/// The exact objective without its clip.
const EXACT: Objective = Objective::Exact { clip: f64::INFINITY };

/// A method with the exact log-ratio, neither clamped nor normalized.
fn ideal(objective: Objective, divergence: Divergence) -> Method {
    let ratio = RatioConfig {
        // Far beyond any log-ratio of this problem, so that nothing is clamped.
        clamp: 19.0,
        bins: 0,
        normalize_batch: false,
        ..RatioConfig::default()
    };
    Method { objective, divergence, ratio, ..Method::default() }
}

/// A method with the weights of the theory, σ dσ on scores.
fn theory(objective: Objective, divergence: Divergence) -> Method {
    // Any distribution of σ will do with this weight; with this one the weighted loss varies little.
    let sigma_law =
        SigmaDistribution::KarrasRamp { min: SIGMA_MIN, max: SIGMA_MAX, rho: 3.0, t_max: 1.0 };
    Method { sigma_law, weighting: Weighting::Theory, ..ideal(objective, divergence) }
}

/// A method with SiD's weights, with ω the value of the noise level for data of variance 1.5.
fn ramp(objective: Objective, divergence: Divergence) -> Method {
    let sigma_law =
        SigmaDistribution::KarrasRamp { min: SIGMA_MIN, max: SIGMA_MAX, rho: 7.0, t_max: 1.0 };
    let weighting = Weighting::Gaussian { variance: 1.5 };
    Method { sigma_law, weighting, ..ideal(objective, divergence) }
}

#[test]
fn exact_reverse_kl_seeks_modes() {
    check(theory(EXACT, Divergence::ReverseKl), (0.56040, 1.64001));
}

#[test]
fn exact_jeffreys() {
    let divergence = Divergence::Jeffreys { reverse: 0.6, forward: 0.4 };
    check(theory(EXACT, divergence), (0.48042, 1.71053));
}

#[test]
fn exact_jensen_shannon() {
    check(theory(EXACT, Divergence::JensenShannon), (0.46455, 1.88258));
}

#[test]
fn exact_forward_kl_matches_moments() {
    check(theory(EXACT, Divergence::ForwardKl), (0.40800, 1.96224));
}

#[test]
fn exact_neyman() {
    // Its weights are squares of the ratio, so few samples count, and it needs more of them.
    check_with(2 * BATCH, theory(EXACT, Divergence::NeymanChi2), (0.34689, 2.11704));
}

#[test]
fn score_matching_alone_is_biased() {
    check(theory(Objective::Sid { alpha: 1.0 }, Divergence::ReverseKl), (0.41402, 1.81873));
    check(theory(Objective::Sid { alpha: 0.75 }, Divergence::ReverseKl), (0.48022, 1.70696));
}

#[test]
fn sid_weights() {
    check(ramp(EXACT, Divergence::ReverseKl), (0.41027, 1.83734));
    check(ramp(Objective::Sid { alpha: 1.0 }, Divergence::ReverseKl), (0.40751, 1.91915));
    check(ramp(Objective::Sid { alpha: 1.2 }, Divergence::ReverseKl), (0.40721, 1.97123));
    check(ramp(EXACT, Divergence::ForwardKl), (0.40800, 1.96224));
}

#[test]
fn integral_objectives() {
    let diff_instruct = Method {
        sigma_law: SigmaDistribution::LogNormal { mean: -1.2, std: 1.2 },
        weighting: Weighting::Uniform,
        ..ideal(Objective::Integral, Divergence::ReverseKl)
    };
    check(diff_instruct, (0.41725, 1.80445));
    check(ramp(Objective::Integral, Divergence::ReverseKl), (0.41162, 1.81475));
    check(ramp(Objective::Integral, Divergence::ForwardKl), (0.40800, 1.96224));
}

/// The integral of divergences with the derivative of SiD's cumulative weight. Its fixed points agree
/// with `sid_weights` up to the boundary term at the largest noise level.
#[test]
fn integral_objectives_with_sids_cumulative_weight() {
    let weighting = Weighting::Cumulative(CumulativeWeight::Sid { variance: 1.5 });
    let cumulative = |divergence| Method {
        weighting: weighting.clone(),
        ..ramp(Objective::Integral, divergence)
    };
    check(cumulative(Divergence::ReverseKl), (0.40979, 1.83800));
    check(cumulative(Divergence::JensenShannon), (0.40860, 1.93870));
    check(cumulative(Divergence::ForwardKl), (0.40800, 1.96224));
}
