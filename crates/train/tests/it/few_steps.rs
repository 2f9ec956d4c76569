//! Generators of several steps, and the terms of a feature network, through the public API.

use candle_core::{DType, Device, Tensor, Var};
use divergence::{Frechet, Method, RatioState, Reward, preset};
use models::{
    Conditioning, Denoiser,
    generator::{StepSchedule, generate},
};
use uni_instruct_train::{
    Config, Engine, Error, Networks, Outcome, Source, TrainState,
    config::Phase,
    run::Job,
    source::{Distribution, NoiseStream},
    step::{
        AuxiliaryInputs, FeatureModel, Inputs, KnownRatio, NoRatio, RandomInputs, StepInputs,
        StepNetworks, Use, generator_terms, student_samples,
    },
};

/// Denoiser `a x + σ`, whose calls differ by the noise level.
struct Affine(Tensor);

impl Denoiser for Affine {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, _: &Conditioning) -> candle_core::Result<Tensor> {
        x.broadcast_mul(&self.0)?.broadcast_add(&sigma.unsqueeze(1)?)
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

fn tensor(values: &[f64], shape: (usize, usize)) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn affine(slope: f64) -> Affine {
    Affine(Tensor::new(slope, &Device::Cpu).unwrap())
}

#[test]
fn each_sample_is_the_output_of_its_step() {
    let schedule = StepSchedule { sigma_init: 2.5, steps: 3 };
    let z = tensor(&[1.0, -1.0, 0.5, 2.0], (4, 1));
    let noise = [tensor(&[0.1, 0.2, 0.3, 0.4], (4, 1)), tensor(&[-1.0, 1.0, -2.0, 2.0], (4, 1))];
    let steps = StepInputs { step: vec![2, 0, 1, 2], noise: noise.clone().into() };
    let cond = Conditioning::default();
    let found = student_samples(&affine(0.5), &affine(0.25), schedule, &z, &steps, &cond).unwrap();
    let [first, second, third] = [0, 1, 2].map(|step| schedule.sigma(step));
    let expected: Vec<f64> = (0..4)
        .map(|i| {
            let (z, n) = (values(&z)[i], [values(&noise[0])[i], values(&noise[1])[i]]);
            let call = |slope: f64, x: f64, sigma: f64| slope * x + sigma;
            match steps.step[i] {
                0 => call(0.5, first * z, first),
                1 => call(0.5, call(0.25, first * z, first) + second * n[0], second),
                _ => {
                    let x = call(0.25, first * z, first) + second * n[0];
                    call(0.5, call(0.25, x, second) + third * n[1], third)
                }
            }
        })
        .collect();
    for (found, expected) in values(&found).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
    }
}

#[test]
fn a_step_is_trained_on_constant_inputs() {
    let slope = Var::from_tensor(&Tensor::new(0.5, &Device::Cpu).unwrap()).unwrap();
    let tracked = Affine(slope.as_tensor().clone());
    let schedule = StepSchedule { sigma_init: 2.0, steps: 2 };
    let z = tensor(&[1.0], (1, 1));
    let steps = StepInputs { step: vec![1], noise: vec![tensor(&[0.0], (1, 1))] };
    let cond = Conditioning::default();
    let x0 = student_samples(&tracked, &affine(0.5), schedule, &z, &steps, &cond).unwrap();
    let grads = x0.sum_all().unwrap().backward().unwrap();
    // x0 = a x + σ₂, x = 0.5 · 2 + 2 a constant.
    assert_eq!(values(grads.get(&slope).unwrap()), [3.0]);
}

#[test]
fn levels_fall_from_the_first_and_a_single_step_is_the_generator() {
    let schedule = StepSchedule { sigma_init: 2.5, steps: 4 };
    let levels: Vec<f64> = (0..4).map(|step| schedule.sigma(step)).collect();
    assert_eq!(levels[0], 2.5);
    assert!(levels.windows(2).all(|pair| pair[1] < pair[0]) && 0.002 < levels[3], "{levels:?}");
    // (2.5^(1/7)/2 + 0.002^(1/7)/2)⁷.
    assert!((levels[2] - 0.169).abs() < 1e-3, "{levels:?}");
    let (denoiser, cond) = (affine(0.5), Conditioning::default());
    let z = tensor(&[1.0, 3.0], (2, 1));
    let mut noise = |_| Ok(z.clone());
    let one = schedule.generate(&denoiser, &z, 1, &mut noise, &cond).unwrap();
    assert_eq!(values(&one), values(&generate(&denoiser, &z, 2.5, &cond).unwrap()));
    let err = schedule.generate(&denoiser, &z, 5, &mut noise, &cond).unwrap_err().to_string();
    assert!(err.contains("5 steps of a generator that was trained for 4"), "{err}");
}

/// A feature network: pixels, and logits `(x, -x)` of the first pixel.
struct Pixels;

impl FeatureModel for Pixels {
    fn features(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        images * 1.0
    }

    fn logits(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        let first = features.narrow(1, 0, 1)?;
        Tensor::cat(&[&first, &first.neg()?], 1)
    }
}

fn mlp() -> models::mlp::MlpConfig {
    models::mlp::MlpConfig { width: 8, label_dim: 0, ..Default::default() }
}

fn config(method: Method) -> Config {
    let phase = vec![Phase { images: 640, train_generator: true, method }];
    Config { batch: 8.try_into().unwrap(), phase, ..Config::default() }
}

/// Real images: a constant distribution around (2, -1).
struct Real;

impl Distribution for Real {
    fn sample(&self, noise: &NoiseStream, position: u64, values: &mut [f64]) -> u32 {
        for (lane, (value, center)) in values.iter_mut().zip([2.0, -1.0]).enumerate() {
            *value = center + 0.1 * noise.normal(position, lane as u32);
        }
        0
    }
}

fn engine(method: Method, features: bool) -> Result<Engine, Error> {
    built(config(method), features)
}

fn flat(params: &models::ParamSet) -> Vec<f64> {
    params.tensors().into_values().flat_map(|it| values(&it)).collect()
}

fn built(config: Config, features: bool) -> Result<Engine, Error> {
    let state = TrainState::new(mlp().init(1).unwrap(), mlp().init(2).unwrap(), None).unwrap();
    let fake = |params: &models::Params| -> models::Result<_> {
        Ok(KnownRatio { denoiser: mlp().build(params)?, ratio: NoRatio })
    };
    let teacher = mlp().build(&mlp().init(3).unwrap().frozen()).unwrap();
    let generator = |params: &models::Params| mlp().build(params);
    let networks = Networks::new(teacher, &state, generator, fake, &[2], 0.5).unwrap();
    let networks = if features { networks.with_features(Pixels) } else { networks };
    Engine::new(config, networks, state, Source::distribution(Real, 0), Device::Cpu)
}

fn frechet(queue: usize) -> Method {
    let sid = preset("sid").unwrap().method.clone();
    Method { frechet: Some(Frechet { weight: 0.5, queue }), ..sid }
}

fn applied(engine: &mut Engine) -> uni_instruct_train::state::Stats {
    match engine.update().unwrap() {
        Outcome::Applied(stats) => stats,
        Outcome::Skipped(what) => panic!("skipped for {what}"),
    }
}

#[test]
fn a_frechet_distance_acts_once_its_queue_is_full() {
    let mut engine = engine(frechet(20), true).unwrap();
    for update in 0..3 {
        assert_eq!(applied(&mut engine)["Loss/frechet"], 0.0, "{update}");
    }
    let queue = engine.state.features.as_ref().unwrap();
    // Three batches of 8; the oldest 4 rows left.
    assert_eq!(queue.len(), 20);
    let distance = applied(&mut engine)["Loss/frechet"];
    // |μ - μ_r|² alone is about 5 for a generator near the origin.
    assert!((0.5..10.0).contains(&distance), "{distance}");
}

#[test]
fn a_checkpoint_holds_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let mut whole = engine(frechet(20), true).unwrap();
    let mut resumed = engine(frechet(20), true).unwrap();
    for at in [1, 3] {
        while whole.state.progress.images < 8 * at {
            applied(&mut whole);
        }
        let path = whole.save(&folder.path().join(at.to_string())).unwrap();
        resumed.resume(&path).unwrap();
        assert_eq!(resumed.state.features, whole.state.features);
    }
    let [expected, found] = [&mut whole, &mut resumed].map(|it| applied(it)["Loss/frechet"]);
    assert_eq!(found, expected);
}

/// Terms of a step of a generator `a x + σ` on two samples, and the gradient of their mean in `a`.
fn step(
    method: &Method,
    a: f64,
    features: bool,
    cond: Conditioning,
) -> candle_core::Result<(f64, f64)> {
    let slope = Var::from_tensor(&Tensor::new(a, &Device::Cpu)?)?;
    let generator = Affine(slope.as_tensor().clone());
    let other = affine(0.0);
    let fake = KnownRatio { denoiser: affine(0.0), ratio: NoRatio };
    let networks = StepNetworks {
        generator: &generator,
        frozen_generator: &other,
        teacher: &other,
        fake: &fake,
        features: features.then_some(&Pixels as &dyn FeatureModel),
    };
    let inputs = Inputs {
        z: tensor(&[1.0, -0.5, 0.25, 2.0], (2, 2)),
        sigma: Tensor::new(&[0.5, 1.0], &Device::Cpu)?,
        noise: tensor(&[0.0; 4], (2, 2)),
        cond,
        seed: 0,
        position: 0,
        update: 0,
        steps: StepInputs::default(),
    };
    let auxiliary = AuxiliaryInputs::default();
    let terms = generator_terms(&networks, method, &inputs, auxiliary, &mut RatioState::default())?;
    // The two denoisers are equal, so the surrogate and its gradient are 0.
    let loss = terms.total()?.mean_all()?;
    let slope = values(loss.backward()?.get(&slope).unwrap())[0];
    Ok((values(&loss)[0], slope))
}

#[test]
fn a_reward_is_the_log_probability_of_the_label() {
    let sid = preset("sid").unwrap().method.clone();
    let method = Method { reward: Some(Reward { weight: 3.0 }), sigma_init: 1.0, ..sid };
    let labels = tensor(&[1.0, 0.0, 0.0, 1.0], (2, 2));
    let cond = || Conditioning::labels(Some(labels.clone()));
    let (loss, slope) = step(&method, 0.3, true, cond()).unwrap();
    // First pixels 0.3 + 1 and 0.075 + 1, logits (x, -x), labels 0 and 1.
    let softplus = |x: f64| x.exp().ln_1p();
    let expected = 1.5 * (softplus(-2.0 * 1.3) + softplus(2.0 * 1.075));
    assert!((loss - expected).abs() < 1e-12, "{loss}, expected {expected}");
    let [up, down] = [0.3 + 1e-6, 0.3 - 1e-6].map(|a| step(&method, a, true, cond()).unwrap().0);
    assert!((slope - (up - down) / 2e-6).abs() < 1e-6);
    let error = |features, cond| step(&method, 0.3, features, cond).unwrap_err().to_string();
    assert!(error(false, cond()).contains("no feature network"));
    assert!(error(true, Conditioning::default()).contains("needs labels"));
}

#[test]
fn terms_without_their_network_or_labels_are_refused_before_the_first_step() {
    let refused = |method, features| engine(method, features).err().unwrap().to_string();
    let text = refused(frechet(20), false);
    assert!(text.contains("phase.0.method.frechet") && text.contains("feature network"), "{text}");
    let sid = preset("sid").unwrap().method.clone();
    let reward = Method { reward: Some(Reward { weight: 1.0 }), ..sid };
    let text = refused(reward, true);
    assert!(text.contains("phase.0.method.reward") && text.contains("has 0"), "{text}");
}

#[test]
fn steps_are_uniform_and_each_has_its_own_noise() {
    let device = Device::Cpu;
    let random = |position, batch| RandomInputs {
        seed: 7,
        position,
        batch,
        sample: &[2],
        dtype: DType::F32,
        device: &device,
    };
    let uses = [Use::GeneratorStep, Use::GeneratorStepNoise];
    let found = random(0, 3000).steps(uses, 3).unwrap();
    for step in 0..3 {
        let count = found.step.iter().filter(|&&it| it == step).count();
        assert!((900..1100).contains(&count), "{step}: {count}");
    }
    assert_eq!(found.noise.len(), 2);
    assert_ne!(values(&found.noise[0]), values(&found.noise[1]));
    // A batch is a part of the stream, wherever it starts.
    let later = random(1000, 4).steps(uses, 3).unwrap();
    assert_eq!(later.step, found.step[1000..1004]);
    let rows = found.noise[1].narrow(0, 1000, 4).unwrap();
    assert_eq!(values(&later.noise[1]), values(&rows));
    assert!(random(0, 4).steps(uses, 1).unwrap().step.is_empty());
}

#[test]
fn step_sizes_of_both_networks_fall_to_zero() {
    let moved = |cooldown: u64| {
        let mut config = config(preset("sid").unwrap().method.clone());
        config.generator.cooldown_images = cooldown;
        config.fake.cooldown_images = cooldown;
        let mut engine = built(config, false).unwrap();
        let before = [&engine.state.generator, &engine.state.fake].map(|it| flat(&it.params));
        applied(&mut engine);
        let after = [&engine.state.generator, &engine.state.fake].map(|it| flat(&it.params));
        [0, 1].map(|network| {
            let pairs = before[network].iter().zip(&after[network]);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        })
    };
    // 640 images are left of the run.
    let (whole, tenth) = (moved(640), moved(6400));
    for (whole, tenth) in whole.into_iter().zip(tenth) {
        assert!((tenth / whole - 0.1).abs() < 0.02, "{tenth} {whole}");
    }
}

#[test]
fn a_run_of_several_steps_trains_and_samples_them() {
    let method = preset("sid-few-step").unwrap().method.clone();
    let mut engine = engine(method, false).unwrap();
    let before = engine.state.generator.params.deep_copy().unwrap();
    applied(&mut engine);
    let moved = engine
        .state
        .generator
        .params
        .tensors()
        .into_iter()
        .any(|(name, tensor)| values(&tensor) != values(&before.tensors()[&name]));
    assert!(moved);
    assert_eq!(engine.schedule().unwrap(), StepSchedule { sigma_init: 2.5, steps: 4 });
    assert_eq!(engine.sampler().unwrap().evaluations(), 4);
}
