//! Engines over networks, distributions and log-ratios of a user's own.

use std::error::Error as _;

use candle_core::{Device, Tensor};
use divergence::{
    Method,
    mixture::{Component, GaussianMixture},
};
use models::{
    Conditioning, Denoiser, LogRatio, ParamSet, Params,
    analytic::MixtureDenoiser,
    mlp::{Mlp, MlpConfig, MlpRatio},
};
use uni_instruct_train::{
    Config, Engine, Networks, Outcome, Phase, RealImages, Source, TrainState,
    source::{Distribution, NoiseStream},
    step::{FakeScoreModel, KnownRatio, NoRatio},
};

const MLP: fn(usize) -> MlpConfig =
    |label_dim| MlpConfig { width: 8, label_dim, ..MlpConfig::default() };

/// Two modes, one per class.
struct Modes;

impl Distribution for Modes {
    fn sample(&self, noise: &NoiseStream, position: u64, values: &mut [f64]) -> u32 {
        let class = noise.below(position, 8, 2) as u32;
        values.fill(if class == 0 { -1.0 } else { 1.0 });
        for (element, value) in values.iter_mut().enumerate() {
            *value += 0.1 * noise.normal(position, element as u32);
        }
        class
    }
}

/// A fake score whose log-ratio is a second trained network.
struct Discriminated {
    denoiser: Mlp,
    ratio: MlpRatio,
}

impl Denoiser for Discriminated {
    fn denoise(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Tensor> {
        self.denoiser.denoise(x, sigma, cond)
    }

    fn sigma_range(&self) -> [f64; 2] {
        self.denoiser.sigma_range()
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        self.denoiser.round_sigma(sigma)
    }
}

impl LogRatio for Discriminated {
    fn log_ratio(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Tensor> {
        self.ratio.log_ratio(x, sigma, cond)
    }
}

impl FakeScoreModel for Discriminated {}

fn config(preset: &str) -> Config {
    let method = divergence::preset(preset).unwrap().method.clone();
    let phase = vec![Phase { images: 64, train_generator: true, method }];
    Config { batch: 8.try_into().unwrap(), phase, ..Config::default() }
}

/// A teacher for unconditional and conditional students.
struct Teacher(MixtureDenoiser);

impl Denoiser for Teacher {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, _: &Conditioning) -> candle_core::Result<Tensor> {
        self.0.denoise(x, sigma, &Conditioning::default())
    }

    fn sigma_range(&self) -> [f64; 2] {
        self.0.sigma_range()
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        self.0.round_sigma(sigma)
    }
}

fn teacher() -> Teacher {
    let modes = [-1.0, 1.0].map(|mean| Component::isotropic(1.0, vec![mean; 2], 0.01));
    Teacher(MixtureDenoiser::new(GaussianMixture::new(modes.into()).unwrap()).unwrap())
}

/// An engine with a trained discriminator. The head's parameters are the fake score's own.
fn discriminated(config: Config, source: Source, sample: &[usize]) -> Result<Engine, String> {
    let mlp = MLP(source.label_dim);
    let mut tensors = mlp.init(2).unwrap().tensors();
    let ratio = mlp.init_ratio(3).unwrap().tensors();
    tensors.extend(ratio.into_iter().map(|(name, tensor)| (format!("ratio.{name}"), tensor)));
    let fake = ParamSet::from_tensors(&tensors).unwrap();
    let state = TrainState::new(mlp.init(1).unwrap(), fake, None).unwrap();
    let generator = |params: &Params| mlp.build(params);
    let fake = |params: &Params| -> models::Result<_> {
        let ratio = mlp.build_ratio(&params.at("ratio"))?;
        Ok(Discriminated { denoiser: mlp.build(params)?, ratio })
    };
    let networks = Networks::new(teacher(), &state, generator, fake, sample, 0.5).unwrap();
    Engine::new(config, networks, state, source, Device::Cpu).map_err(chain)
}

/// An error with its source.
fn chain(err: uni_instruct_train::Error) -> String {
    err.source().map_or_else(|| err.to_string(), |source| format!("{err}: {source}"))
}

fn values(params: &ParamSet) -> Vec<f32> {
    let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    params.tensors().into_values().flat_map(flat).collect()
}

#[test]
fn a_discriminator_trains_on_samples_of_a_distribution() {
    for label_dim in [0, 2] {
        let source = Source::distribution(Modes, label_dim);
        let mut engine = discriminated(config("sida"), source, &[2]).unwrap();
        let before = values(&engine.state.fake.params);
        let Outcome::Applied(stats) = engine.update().unwrap() else { panic!("skipped") };
        assert!(0.0 < stats["Loss/discriminator"] && 0.0 < stats["Loss/adversarial"], "{stats:?}");
        let after = values(&engine.state.fake.params);
        assert_eq!(before.len(), after.len());
        let ratio = engine.state.fake.first.iter().filter(|(name, _)| name.starts_with("ratio."));
        let moved = |moment: &Tensor| moment.abs()?.sum_all()?.to_scalar::<f32>();
        assert!(ratio.map(|(_, it)| moved(it).unwrap()).sum::<f32>() > 0.0);
    }
}

#[test]
fn samples_of_a_distribution_do_not_depend_on_the_batch() {
    let update = |batch: usize, accumulation: usize| {
        let (batch, accumulation) = (batch.try_into().unwrap(), accumulation.try_into().unwrap());
        let config = Config { batch, accumulation, ..config("sida") };
        let mut engine = discriminated(config, Source::distribution(Modes, 2), &[2]).unwrap();
        engine.update().unwrap();
        values(&engine.state.fake.params)
    };
    let (whole, split) = (update(8, 1), update(4, 2));
    let moved = whole.iter().zip(&split).filter(|(a, b)| 1e-6 < (*a - *b).abs()).count();
    assert!(moved * 20 < whole.len(), "{moved} of {} weights differ", whole.len());
}

#[test]
fn single_steps_compose_an_update() {
    let engine = || discriminated(config("sida"), Source::distribution(Modes, 0), &[2]).unwrap();
    let (mut at_once, mut in_steps) = (engine(), engine());
    let method: Method = in_steps.config.phase[0].method.clone();
    for _ in 0..2 {
        at_once.update().unwrap();
        for _ in 0..method.fake_updates.get() {
            in_steps.update_fake_score(&method).unwrap();
        }
        let outcome = in_steps.update_generator(&method).unwrap();
        in_steps.count(&outcome, 0.0).unwrap();
    }
    assert_eq!(at_once.state.progress.images, in_steps.state.progress.images);
    assert_eq!(values(&at_once.state.ema), values(&in_steps.state.ema));
}

#[test]
fn rejects_parts_that_do_not_fit() {
    let rejected = |preset: &str, source: Source, sample: &[usize], expected: &str| {
        let err = discriminated(config(preset), source, sample).err().expect("must be rejected");
        assert!(err.contains(expected), "`{expected}` is not in: {err}");
    };
    rejected("sida", Source::none(), &[2], "the method needs images, but the run has none");
    rejected("dmd", Source::none(), &[2], "the method needs images, but the run has none");
    rejected("sid", Source::none(), &[3], "takes [B, 2]");
    let teacher_samples = Source { real: RealImages::TeacherSamples, samples: None, label_dim: 2 };
    discriminated(config("sid"), teacher_samples, &[2]).unwrap();
}

/// A log-ratio of a wrong shape.
#[derive(Clone, Copy)]
struct Column;

impl LogRatio for Column {
    fn log_ratio(&self, x: &Tensor, _: &Tensor, _: &Conditioning) -> candle_core::Result<Tensor> {
        x.sum_keepdim(1)
    }
}

/// An engine whose log-ratio is not trained.
fn known(preset: &str, ratio: impl LogRatio + Copy + 'static) -> Result<Engine, String> {
    let mlp = MLP(0);
    let state = TrainState::new(mlp.init(1).unwrap(), mlp.init(2).unwrap(), None).unwrap();
    let generator = |params: &Params| mlp.build(params);
    let fake = |params: &Params| -> models::Result<_> {
        Ok(KnownRatio { denoiser: mlp.build(params)?, ratio })
    };
    let networks = Networks::new(teacher(), &state, generator, fake, &[2], 0.5).unwrap();
    let engine = Engine::new(config(preset), networks, state, Source::none(), Device::Cpu);
    engine.map_err(chain)
}

#[test]
fn a_known_log_ratio_must_fit_the_method() {
    assert!(known("sid", NoRatio).unwrap().update().is_ok());
    let err = known("f-distill", NoRatio).err().expect("must be rejected");
    assert!(err.contains("this fake score has none"), "{err}");
    let err = known("f-distill", Column).err().expect("must be rejected");
    assert!(err.contains("log-ratio of fake.tracked: its shape is [2, 1], expected [2]"), "{err}");
}

/// The mean of a sample, as a log-ratio that needs no training.
#[derive(Clone, Copy)]
struct Mean;

impl LogRatio for Mean {
    fn log_ratio(&self, x: &Tensor, _: &Tensor, _: &Conditioning) -> candle_core::Result<Tensor> {
        x.mean(1)
    }
}

#[test]
fn a_known_log_ratio_needs_no_real_images() {
    let mut engine = known("f-distill", Mean).unwrap();
    let Outcome::Applied(stats) = engine.update().unwrap() else { panic!("skipped") };
    assert!(stats.contains_key("Loss/fake") && stats.contains_key("Ratio/ess"), "{stats:?}");
    assert!(!stats.contains_key("Loss/discriminator"), "{stats:?}");
}
