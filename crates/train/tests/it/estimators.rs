//! Estimators of the log-ratio and the averaged fake score in the step, through the public API.

use candle_core::{Device, Tensor};
use divergence::{
    Divergence, Method, Objective, PathConfig, RatioConfig, RatioEstimator, SigmaDistribution,
    mixture::{Component, GaussianMixture},
};
use models::{
    Conditioning, Denoiser, ParamSet, Params,
    analytic::MixtureDenoiser,
    mlp::MlpConfig,
    path_ratio::{PathRatio, PathSettings},
};
use uni_instruct_train::{
    Config, Engine, Error, Networks, Outcome, Source, TrainState,
    config::{EmaConfig, Phase, Positive},
    run::Job,
    step::{
        AuxiliaryInputs, Inputs, KnownRatio, LogRatioEstimate, NoRatio, StepInputs, StepNetworks,
        generator_terms,
    },
};

const BATCH: usize = 8;

pub(super) fn mlp() -> MlpConfig {
    MlpConfig { width: 8, label_dim: 0, ..MlpConfig::default() }
}

/// A teacher whose noise levels end at 85.
pub(super) struct Teacher(MixtureDenoiser);

impl Denoiser for Teacher {
    fn denoise(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Tensor> {
        self.0.denoise(x, sigma, cond)
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, 85.0]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

pub(super) fn teacher() -> Teacher {
    let modes = [-1.0, 1.0].map(|mean| Component::isotropic(1.0, vec![mean; 2], 0.01));
    Teacher(MixtureDenoiser::new(GaussianMixture::new(modes.into()).unwrap()).unwrap())
}

pub(super) fn method(estimator: RatioEstimator) -> Method {
    let path = PathConfig { strata: 2, max: 1.0, ..PathConfig::default() };
    Method {
        objective: Objective::Integral,
        divergence: Divergence::JensenShannon,
        sigma_law: SigmaDistribution::LogUniform { min: 0.05, max: 3.0 },
        ratio: RatioConfig { estimator, path, ..RatioConfig::default() },
        ..Method::default()
    }
}

pub(super) fn config(method: Method) -> Config {
    let phase = vec![Phase { images: 64, train_generator: true, method }];
    Config { batch: BATCH.try_into().unwrap(), phase, ..Config::default() }
}

/// An engine without images and without a discriminator.
fn engine(config: Config) -> Result<Engine, Error> {
    let mut state = TrainState::new(mlp().init(1).unwrap(), mlp().init(2).unwrap(), None).unwrap();
    if config.fake_ema.is_some() {
        state = state.with_fake_average().unwrap();
    }
    build(config, state)
}

pub(super) fn build(config: Config, state: TrainState) -> Result<Engine, Error> {
    let generator = |params: &Params| mlp().build(params);
    let fake = |params: &Params| -> models::Result<_> {
        Ok(KnownRatio { denoiser: mlp().build(params)?, ratio: NoRatio })
    };
    let networks = Networks::new(teacher(), &state, generator, fake, &[2], 0.5).unwrap();
    Engine::new(config, networks, state, Source::none(), Device::Cpu)
}

/// Inputs of a step at an update.
fn inputs(update: u64) -> Inputs {
    let tensor = |values: Vec<f32>, shape: (usize, usize)| {
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let wave = |scale: f32| (0..2 * BATCH).map(|i| (scale * (i as f32 + 1.0)).sin()).collect();
    let sigma: Vec<f32> = (0..BATCH).map(|i| 0.1 * 1.6f32.powi(i as i32)).collect();
    Inputs {
        z: tensor(wave(0.7), (BATCH, 2)),
        sigma: Tensor::new(sigma, &Device::Cpu).unwrap(),
        noise: tensor(wave(1.9), (BATCH, 2)),
        cond: Conditioning::default(),
        seed: 5,
        position: 40,
        update,
        steps: StepInputs::default(),
    }
}

/// The log-ratios of a step.
pub(super) fn estimate(method: &Method, update: u64) -> LogRatioEstimate {
    estimate_of(&engine(config(method.clone())).unwrap(), method, update)
}

/// The log-ratios of an engine's step.
pub(super) fn estimate_of(engine: &Engine, method: &Method, update: u64) -> LogRatioEstimate {
    let networks = StepNetworks {
        generator: engine.networks.generator.tracked.as_ref(),
        frozen_generator: engine.networks.generator.frozen.as_ref(),
        teacher: engine.networks.teacher.as_ref(),
        fake: engine.networks.evaluated_fake(),
        features: None,
    };
    let mut ratio = engine.state.ratio.clone();
    let terms =
        generator_terms(&networks, method, &inputs(update), AuxiliaryInputs::default(), &mut ratio)
            .unwrap();
    terms.log_ratio.unwrap()
}

pub(super) fn values(estimate: &LogRatioEstimate) -> Vec<f32> {
    estimate.values.to_vec1().unwrap()
}

#[test]
fn path_estimates_are_those_of_the_path_ratio_where_it_runs() {
    let method = method(RatioEstimator::Path);
    let found = estimate(&method, 0);
    // Five of the noise levels are at most 1.
    assert_eq!(found.estimated, [true, true, true, true, true, false, false, false]);
    let engine = engine(config(method)).unwrap();
    let Inputs { z, sigma, noise, .. } = inputs(0);
    let x0 = models::generator::generate(
        engine.networks.generator.frozen.as_ref(),
        &z,
        2.5,
        &Conditioning::default(),
    )
    .unwrap();
    let x = (x0 + noise.broadcast_mul(&sigma.unsqueeze(1).unwrap()).unwrap()).unwrap();
    let fake: &dyn Denoiser = &mlp().build(&engine.state.fake.params.frozen()).unwrap();
    let ratio = PathRatio {
        teacher: engine.networks.teacher.as_ref(),
        student: fake,
        settings: PathSettings { strata: 2, antithetic: true, sigma_max: 80.0 },
        seed: 5,
        position: 40,
    };
    let (x, sigma) = (x.narrow(0, 0, 5).unwrap(), sigma.narrow(0, 0, 5).unwrap());
    let expected =
        models::LogRatio::log_ratio(&ratio, &x, &sigma, &Conditioning::default()).unwrap();
    assert_eq!(values(&found)[..5], expected.to_vec1::<f32>().unwrap());
    assert_eq!(values(&found)[5..], [0.0; 3]);
}

#[test]
fn permuted_estimates_are_those_of_other_samples() {
    let path = values(&estimate(&method(RatioEstimator::Path), 0));
    let permuted = values(&estimate(&method(RatioEstimator::Permuted), 0));
    assert_eq!(permuted[..5], [&path[1..5], &path[..1]].concat());
    assert_eq!(permuted[5..], [0.0; 3]);
}

#[test]
fn constant_estimates_are_zero() {
    let found = estimate(&method(RatioEstimator::Constant), 0);
    assert_eq!(values(&found), [0.0; BATCH]);
    assert_eq!(found.estimated, [false; BATCH]);
}

#[test]
fn a_path_runs_at_every_nth_update() {
    let mut method = method(RatioEstimator::Path);
    method.ratio.path.every = 3;
    for update in 0..7 {
        let ran = estimate(&method, update).estimated.contains(&true);
        assert_eq!(ran, update % 3 == 0, "{update}");
    }
}

#[test]
fn a_run_with_a_path_needs_neither_images_nor_discriminator() {
    for estimator in [RatioEstimator::Path, RatioEstimator::Permuted, RatioEstimator::Constant] {
        let mut engine = engine(config(method(estimator))).unwrap();
        let Outcome::Applied(stats) = engine.update().unwrap() else { panic!("skipped") };
        assert!(stats.contains_key("Ratio/ess") && !stats.contains_key("Loss/discriminator"));
        let monitors = engine.take_monitors();
        assert!(monitors.iter().any(|it| it.advantage.is_some()));
        let estimated = monitors.iter().any(|it| it.std_log_ratio.is_some());
        assert_eq!(estimated, estimator != RatioEstimator::Constant);
    }
}

fn average(half_life: f64) -> Option<EmaConfig> {
    Some(EmaConfig { half_life: Positive::literal(half_life), ramp: Positive::literal(1e9) })
}

fn flat(params: &ParamSet) -> Vec<f32> {
    let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    params.tensors().into_values().flat_map(flat).collect()
}

#[test]
fn the_generators_step_evaluates_the_averaged_fake_score() {
    let run = |fake_ema| {
        let config = Config { fake_ema, ..config(method(RatioEstimator::Constant)) };
        let mut engine = engine(config).unwrap();
        for _ in 0..3 {
            assert!(matches!(engine.update().unwrap(), Outcome::Applied(_)));
        }
        engine
    };
    let own = run(None);
    // A half-life of far less than an update: the average is the weights themselves.
    let short = run(average(1e-3));
    assert_eq!(flat(&short.state.generator.params), flat(&own.state.generator.params));
    // A half-life of far more: the average stays where it started.
    let long = run(average(1e12));
    assert_ne!(flat(&long.state.generator.params), flat(&own.state.generator.params));
    let kept = flat(&long.state.fake_average.as_ref().unwrap().network);
    let start = flat(&mlp().init(2).unwrap());
    assert!(kept.iter().zip(&start).all(|(a, b)| (a - b).abs() < 1e-6));
    assert_ne!(flat(&long.state.fake.params), start);
    // One half-life an update.
    let half = run(average(BATCH as f64));
    let fake = flat(&half.state.fake.params);
    assert_ne!(flat(&half.state.fake_average.as_ref().unwrap().network), fake);
}

#[test]
fn a_checkpoint_without_the_average_resumes_with_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let mut earlier = engine(config(method(RatioEstimator::Constant))).unwrap();
    earlier.update().unwrap();
    let path = earlier.save(folder.path()).unwrap();
    let with_average = |half_life| Config {
        fake_ema: average(half_life),
        ..config(method(RatioEstimator::Constant))
    };
    let mut resumed = engine(with_average(100.0)).unwrap();
    resumed.resume(&path).unwrap();
    let weights = flat(&earlier.state.fake.params);
    assert_eq!(flat(&resumed.state.fake_average.as_ref().unwrap().network), weights);
    assert_eq!(flat(&resumed.state.fake.params), weights);
    // Its own checkpoint holds the average, which has moved, and belongs to its half-life.
    resumed.update().unwrap();
    let path = resumed.save(&folder.path().join("own")).unwrap();
    let mut again = engine(with_average(100.0)).unwrap();
    again.resume(&path).unwrap();
    let [found, expected] =
        [&again, &resumed].map(|it| flat(&it.state.fake_average.as_ref().unwrap().network));
    assert_eq!(found, expected);
    assert_ne!(found, flat(&resumed.state.fake.params));
    let other = engine(with_average(200.0)).unwrap().resume(&path).unwrap_err();
    assert!(matches!(other, Error::ForeignCheckpoint { .. }), "{other}");
    let none = engine(config(method(RatioEstimator::Constant))).unwrap().resume(&path);
    assert!(matches!(none.unwrap_err(), Error::ForeignCheckpoint { .. }));
}

#[test]
fn rejects_averages_and_paths_that_do_not_fit() {
    let configured = Config { fake_ema: average(1.0), ..config(method(RatioEstimator::Path)) };
    let bare = TrainState::new(mlp().init(1).unwrap(), mlp().init(2).unwrap(), None).unwrap();
    let err = build(configured, bare).err().unwrap().to_string();
    assert!(err.contains("fake_ema: the state has no average"), "{err}");
    let bare = TrainState::new(mlp().init(1).unwrap(), mlp().init(2).unwrap(), None).unwrap();
    let with_average = bare.with_fake_average().unwrap();
    let err = build(config(method(RatioEstimator::Path)), with_average).err().unwrap().to_string();
    assert!(err.contains("fake_ema: the state has an average"), "{err}");
    let mut method = method(RatioEstimator::Path);
    method.ratio.path.end = 90.0;
    let err = engine(config(method)).err().unwrap().to_string();
    assert!(err.contains("phase.0.method.ratio.path.end: 90 is above 85"), "{err}");
}
