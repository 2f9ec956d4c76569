//! The quickstart: distillation of a two-dimensional mixture with a denoiser in closed form, by the
//! engine that distills images.

use std::num::NonZeroUsize;

use candle_core::Device;
use divergence::{
    Divergence, Method, SigmaDistribution,
    mixture::{Component, GaussianMixture},
};
use models::{
    Conditioning, analytic::MixtureDenoiser, generator::generate, mlp::MlpConfig, params::Params,
};

use crate::{
    Config, Engine, Error, Networks, Source, TrainState,
    config::{
        EmaConfig, Fraction, LogConfig, OptimizerConfig, Phase, Positive,
        streams::{Use, stream},
    },
    step::{KnownRatio, NoRatio},
};

/// Number of modes, evenly on the unit circle, of equal weight.
pub const MODES: usize = 5;
/// Standard deviation of each mode.
pub const SPREAD: f64 = 0.15;
/// Standard deviation of the mixture in each direction: `√(1/2 + SPREAD²)`, rounded.
const SIGMA_DATA: f64 = 0.72;
/// Noise level of the generator's input.
const SIGMA_INIT: f64 = 2.5;
const BATCH: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Centers of the modes.
pub fn centers() -> [[f64; 2]; MODES] {
    std::array::from_fn(|mode| {
        let (sin, cos) = (std::f64::consts::TAU * mode as f64 / MODES as f64).sin_cos();
        [sin, cos]
    })
}

/// Builds the engine of a run of `updates` updates, of which the first fifth trains the fake score
/// alone.
///
/// The objective is the exact expansion of reverse KL, which needs no log-ratio.
///
/// # Errors
///
/// If a network cannot be built.
pub fn engine(updates: u64, seed: u64) -> Result<Engine, Error> {
    let method = Method {
        sigma_law: SigmaDistribution::KarrasRamp { min: 0.02, max: 20.0, rho: 7.0, t_max: 0.9 },
        fake_sigma_law: SigmaDistribution::LogNormal { mean: -0.8, std: 1.4 },
        sigma_init: SIGMA_INIT,
        divergence: Divergence::ReverseKl,
        ..Method::default()
    };
    // The fake score starts from random weights, so it learns the generator's distribution first.
    let alone = updates / 5;
    let phase = |updates, train_generator| Phase {
        images: updates * BATCH.get() as u64,
        train_generator,
        method: method.clone(),
    };
    let adam = |learning_rate| OptimizerConfig {
        learning_rate: Positive::literal(learning_rate),
        beta2: Fraction::literal(0.99),
        ..OptimizerConfig::default()
    };
    let config = Config {
        seed,
        teacher: "a mixture of Gaussians".into(),
        data: "none".into(),
        batch: BATCH,
        generator: adam(1e-3),
        fake: adam(2e-3),
        ema: EmaConfig { half_life: Positive::literal(20e3), ramp: Positive::literal(0.05) },
        log: LogConfig {
            tick: updates * BATCH.get() as u64 / 10,
            samples: 0,
            checkpoint: 0,
            ..LogConfig::default()
        },
        phase: vec![phase(alone, false), phase(updates - alone, true)],
        ..Config::default()
    };
    let mlp = MlpConfig { width: 64, sigma_data: SIGMA_DATA, ..MlpConfig::default() };
    let (own, fake) = (mlp.init(seed)?, mlp.init(seed.wrapping_add(1))?);
    let state = TrainState::new(own, fake, None)?;
    let fake = |params: &Params| -> models::Result<_> {
        Ok(KnownRatio { denoiser: mlp.build(params)?, ratio: NoRatio })
    };
    let generator = |params: &Params| mlp.build(params);
    let networks = Networks::new(teacher()?, &state, generator, fake, &[2], SIGMA_DATA)?;
    Engine::new(config, networks, state, Source::none(), Device::Cpu)
}

fn teacher() -> candle_core::Result<MixtureDenoiser> {
    let modes = centers().map(|mean| Component::isotropic(1.0, mean.to_vec(), SPREAD * SPREAD));
    let mixture = GaussianMixture::new(modes.into()).map_err(candle_core::Error::wrap)?;
    MixtureDenoiser::new(mixture)
}

/// Samples of the mixture itself.
pub fn real_points(count: usize, seed: u64) -> Vec<[f64; 2]> {
    let noise = stream(seed, Use::RealNoise);
    let centers = centers();
    let point = |i: u64| {
        let center = centers[noise.below(i, 8, MODES as u64) as usize];
        [0, 1].map(|axis| center[axis] + SPREAD * noise.normal(i, axis as u32))
    };
    (0..count as u64).map(point).collect()
}

/// Samples of the averaged generator, each from one network evaluation.
///
/// # Errors
///
/// If the network fails.
pub fn student_points(engine: &Engine, count: usize) -> Result<Vec<[f64; 2]>, Error> {
    let latents = stream(engine.config.seed, Use::SampleLatent);
    let z = latents.normal_tensor(0, (count, 2), &engine.device)?;
    let generator = engine.networks.average.as_ref();
    let sigma_init = engine.schedule()?.sigma_init;
    let points = generate(generator, &z, sigma_init, &Conditioning::default())?;
    let points: Vec<Vec<f32>> = points.to_vec2()?;
    Ok(points.iter().map(|point| [f64::from(point[0]), f64::from(point[1])]).collect())
}

/// Coverage of the mixture by points.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// Share of the points within three standard deviations of a center; 98.9 % for exact samples.
    pub on_mode: f64,
    /// Share of the points nearest to each center.
    pub shares: [f64; MODES],
}

/// Computes the coverage of points.
pub fn coverage(points: &[[f64; 2]]) -> Coverage {
    let centers = centers();
    let (mut near, mut counts) = (0, [0usize; MODES]);
    for point in points {
        let distance =
            |mode: usize| (point[0] - centers[mode][0]).hypot(point[1] - centers[mode][1]);
        let closest = (0..MODES).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        let closest = closest.expect("there are modes");
        counts[closest] += 1;
        near += usize::from(distance(closest) < 3.0 * SPREAD);
    }
    let total = points.len().max(1) as f64;
    Coverage { on_mode: near as f64 / total, shares: counts.map(|count| count as f64 / total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_samples_cover_the_mixture() {
        let Coverage { on_mode, shares } = coverage(&real_points(20_000, 1));
        // P(χ²₂ < 9) = 1 − e^(−9/2) = 0.98889; five standard errors.
        assert!((on_mode - 0.98889).abs() < 0.004, "{on_mode}");
        assert!(shares.iter().all(|share| (share - 0.2).abs() < 0.015), "{shares:?}");
    }

    #[test]
    fn the_student_finds_every_mode() {
        let mut engine = engine(1200, 1).unwrap();
        let before = coverage(&student_points(&engine, 2000).unwrap());
        while engine.state.progress.images < engine.config.images() {
            engine.update().unwrap();
        }
        let after = coverage(&student_points(&engine, 2000).unwrap());
        assert!(before.on_mode < 0.7 && 0.85 < after.on_mode, "{before:?} {after:?}");
        assert!(after.shares.iter().all(|&share| 0.08 < share), "{after:?}");
    }
}
