//! Experiment: the divergence decides which modes a student that is too small keeps, if the log-ratio is
//! right.
//!
//! The teacher is a mixture of eight unequal modes on a circle. The student is a normal distribution with
//! a mean and a deviation in each direction, so it cannot represent them, and its noised density and
//! denoiser are known. Each run has a divergence, an estimator of the log-ratio and a seed; all runs of a
//! seed start from the same parameters and read the same random numbers.
//!
//! Usage: `coverage [UPDATES] [SEEDS] [BATCH]`. Prints a line of JSON for each run.

use std::error::Error;

use candle_core::{DType, Device, Tensor};
use divergence::mixture::{Component, GaussianMixture};
use divergence::{
    CumulativeWeight, Divergence, Method, Objective, PathConfig, RatioConfig, RatioEstimator,
    SigmaDistribution, Weighting,
};
use kernels::noise::NoiseStream;
use models::analytic::{AffineDenoiser, AffineGenerator, Density, DensityRatio, MixtureDenoiser};
use models::{ParamSet, Params};
use train::config::{Config, EmaConfig, Phase, Positive};
use train::{Engine, Networks, Source, TrainState, step::KnownRatio};

/// Shares of the modes.
const SHARES: [f64; 8] = [0.22, 0.19, 0.16, 0.13, 0.11, 0.08, 0.06, 0.05];
const RADIUS: f64 = 1.0;
const DEVIATION: f64 = 0.08;
/// Noise level at which the distributions are compared at the end.
const COMPARED: f64 = 0.05;
/// Samples of each distribution for the comparison.
const SAMPLES: u64 = 20_000;

type Any<T> = std::result::Result<T, Box<dyn Error>>;

fn teacher() -> Any<MixtureDenoiser> {
    let mode = |(index, &share): (usize, &f64)| {
        let angle = std::f64::consts::TAU * index as f64 / SHARES.len() as f64;
        let mean = vec![RADIUS * angle.cos(), RADIUS * angle.sin()];
        Component::isotropic(share, mean, DEVIATION * DEVIATION)
    };
    let modes = SHARES.iter().enumerate().map(mode).collect();
    Ok(MixtureDenoiser::new(GaussianMixture::new(modes)?)?)
}

/// Source of the log-ratio in a run.
#[derive(Clone, Copy)]
enum Ratio {
    /// The true one.
    True,
    Estimated(RatioEstimator),
}

fn config(
    divergence: &Divergence,
    ratio: Ratio,
    updates: u64,
    seed: u64,
    batch: usize,
) -> Any<Config> {
    let levels = SigmaDistribution::LogUniform { min: 0.05, max: 3.0 };
    let estimator = match ratio {
        Ratio::True => RatioEstimator::Discriminator,
        Ratio::Estimated(estimator) => estimator,
    };
    let path = PathConfig { strata: 8, ..PathConfig::default() };
    let method = Method {
        objective: Objective::Integral,
        divergence: divergence.clone(),
        sigma_law: levels,
        weighting: Weighting::Cumulative(CumulativeWeight::Flat),
        ratio: RatioConfig { estimator, path, recalibrate: true, ..RatioConfig::default() },
        ..Method::default()
    };
    let images = updates * batch as u64;
    let phase = vec![Phase { images, train_generator: true, method }];
    let mut config = Config { seed, batch: batch.try_into()?, phase, ..Config::default() };
    config.generator.learning_rate = Positive::try_from(2e-2)?;
    config.generator.decay_images = Some(Positive::try_from(images as f64 / 4.0)?);
    config.ema = EmaConfig {
        half_life: Positive::try_from(images as f64 / 20.0)?,
        ramp: Positive::try_from(0.1)?,
    };
    Ok(config)
}

/// Endpoints of a run: parameters, mode masses and both Kullback-Leibler divergences.
fn endpoints(
    teacher: &MixtureDenoiser,
    student: &AffineDenoiser,
    [mean, deviation]: [Vec<f64>; 2],
) -> Any<serde_json::Value> {
    let noise = |stream| NoiseStream::new(77, stream);
    let of_student: Vec<[f64; 2]> = (0..SAMPLES)
        .map(|i| [0, 1].map(|k| mean[k] + deviation[k] * noise(1).normal(i, k as u32)))
        .collect();
    let modes = teacher.mixture().components();
    let of_teacher: Vec<[f64; 2]> = (0..SAMPLES)
        .map(|i| {
            let mut left = noise(2).uniform(i, 0);
            let mode = modes.iter().find(|it| {
                left -= it.weight;
                left < 0.0
            });
            let mean = &mode.unwrap_or(&modes[0]).mean;
            [0, 1].map(|k| mean[k] + DEVIATION * noise(3).normal(i, k as u32))
        })
        .collect();
    let mut masses = vec![0.0; modes.len()];
    for point in &of_student {
        let distance = |mode: &Component| (point[0] - mode.mean[0]).hypot(point[1] - mode.mean[1]);
        let nearest = (0..modes.len())
            .min_by(|&a, &b| distance(&modes[a]).total_cmp(&distance(&modes[b])))
            .ok_or("no modes")?;
        masses[nearest] += 1.0 / SAMPLES as f64;
    }
    // A mode without samples has the mass of half a sample, so that its logarithm is finite.
    let least = 0.5 / SAMPLES as f64;
    let missing: f64 = SHARES.iter().zip(&masses).map(|(p, q)| p * (p / q.max(least)).ln()).sum();
    let sigma = Tensor::full(COMPARED, SAMPLES as usize, &Device::Cpu)?;
    let divergence_from = |samples: &[[f64; 2]], sign: f64| -> Any<f64> {
        let noised = (0u64..).zip(samples).flat_map(|(i, sample)| {
            [0, 1].map(|k| sample[k] + COMPARED * noise(4).normal(i, k as u32))
        });
        let x = Tensor::from_vec(noised.collect(), (samples.len(), 2), &Device::Cpu)?;
        let ratio = (teacher.log_density(&x, &sigma)? - student.log_density(&x, &sigma)?)?;
        Ok(sign * ratio.mean_all()?.to_scalar::<f64>()?)
    };
    Ok(serde_json::json!({
        "missing_mass_kl": missing,
        "mean": mean,
        "deviation": deviation,
        "masses": masses,
        "reverse_kl": divergence_from(&of_student, -1.0)?,
        "forward_kl": divergence_from(&of_teacher, 1.0)?,
    }))
}

fn run(config: Config) -> Any<serde_json::Value> {
    let params = AffineGenerator::init(&[0.1, 0.0], &[0.5, 0.5], DType::F64)?;
    let state = TrainState::new(params, ParamSet::default(), None)?;
    let own = &state.generator.params;
    let fake = |_: &Params| -> Any<_> {
        let denoiser = AffineDenoiser::build(&own.frozen(), 2)?;
        let ratio = DensityRatio { teacher: teacher()?, student: denoiser.clone() };
        Ok(KnownRatio { denoiser, ratio })
    };
    let generator = |params: &Params| -> Any<_> { Ok(AffineGenerator::build(params, 2)?) };
    let networks = Networks::new(teacher()?, &state, generator, fake, &[2], 1.0)?;
    let mut engine = Engine::new(config, networks, state, Source::none(), Device::Cpu)?;
    while engine.state.progress.images < engine.config.images() {
        engine.update()?;
    }
    let average = &engine.state.ema;
    let value = |name: &str| average.vars()[name].to_vec1::<f64>();
    let student = AffineDenoiser::build(&average.frozen(), 2)?;
    endpoints(&teacher()?, &student, [value("mu")?, value("s")?])
}

fn main() -> Any<()> {
    let mut args = std::env::args().skip(1);
    let updates: u64 = args.next().as_deref().unwrap_or("1500").parse()?;
    let seeds: u64 = args.next().as_deref().unwrap_or("5").parse()?;
    let batch: usize = args.next().as_deref().unwrap_or("256").parse()?;
    let divergences = ["reverse-kl", "jeffreys(0.6,0.4)", "jensen-shannon", "forward-kl"];
    let ratios = [
        ("true", Ratio::True),
        ("path", Ratio::Estimated(RatioEstimator::Path)),
        ("permuted", Ratio::Estimated(RatioEstimator::Permuted)),
        ("constant", Ratio::Estimated(RatioEstimator::Constant)),
    ];
    for seed in 1..=seeds {
        for name in divergences {
            let divergence: Divergence = name.parse()?;
            for (ratio_name, ratio) in ratios {
                let found = run(config(&divergence, ratio, updates, seed, batch)?)?;
                let line = serde_json::json!({
                    "divergence": name, "ratio": ratio_name, "seed": seed, "result": found,
                });
                println!("{line}");
                // Its weight does not depend on the ratio.
                if divergence == Divergence::ReverseKl {
                    break;
                }
            }
        }
    }
    Ok(())
}
