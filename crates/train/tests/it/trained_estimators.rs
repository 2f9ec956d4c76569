//! Estimators of the log-ratio that real images or path integrals train, through the public API.

use candle_core::{Device, Tensor};
use divergence::RatioEstimator;
use models::{Conditioning, Denoiser, LogRatio, Params, mlp::Mlp};
use uni_instruct_train::{
    Engine, Error, Networks, Outcome, Source, TrainState,
    run::Job,
    source::{Distribution, NoiseStream},
    step::FakeScoreModel,
};

use crate::estimators::{build, config, estimate, estimate_of, method, mlp, teacher, values};

/// An engine with real images and a log-ratio that can be trained.
fn trained(estimator: RatioEstimator) -> Engine {
    with_source(estimator, Source::distribution(Ring, 0)).unwrap()
}

fn with_source(estimator: RatioEstimator, source: Source) -> Result<Engine, Error> {
    let state = TrainState::new(mlp().init(1).unwrap(), mlp().init(2).unwrap(), None).unwrap();
    let fake = |params: &Params| -> models::Result<_> { Ok(Linear(mlp().build(params)?)) };
    let generator = |params: &Params| mlp().build(params);
    let networks = Networks::new(teacher(), &state, generator, fake, &[2], 0.5).unwrap();
    Engine::new(config(method(estimator)), networks, state, source, Device::Cpu)
}

/// Real images: points around (1, 1).
struct Ring;

impl Distribution for Ring {
    fn sample(&self, noise: &NoiseStream, position: u64, values: &mut [f64]) -> u32 {
        values
            .iter_mut()
            .zip(0..)
            .for_each(|(it, lane)| *it = 1.0 + 0.1 * noise.normal(position, lane));
        0
    }
}

/// A network whose denoised image, summed, is its logit.
struct Linear(Mlp);

impl Denoiser for Linear {
    fn denoise(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Tensor> {
        self.0.denoise(x, sigma, cond)
    }

    fn sigma_range(&self) -> [f64; 2] {
        self.0.sigma_range()
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

impl LogRatio for Linear {
    fn log_ratio(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> candle_core::Result<Tensor> {
        self.0.denoise(x, sigma, cond)?.sum(1)
    }
}

impl FakeScoreModel for Linear {}

#[test]
fn a_calibrated_path_needs_images_and_no_discriminator() {
    let mut engine = trained(RatioEstimator::PathCalibrated);
    let Outcome::Applied(stats) = engine.update().unwrap() else { panic!("skipped") };
    assert!(stats.contains_key("Ratio/ess") && !stats.contains_key("Loss/discriminator"));
    assert!(!engine.state.ratio.calibration.is_empty());
    // The checkpoint holds the calibration.
    let folder = tempfile::tempdir().unwrap();
    let path = engine.save(folder.path()).unwrap();
    let mut again = trained(RatioEstimator::PathCalibrated);
    again.resume(&path).unwrap();
    assert_eq!(again.state.ratio, engine.state.ratio);
    // Of real images near one mode and samples elsewhere, the estimate is not the integral alone.
    let path = values(&estimate(&method(RatioEstimator::Path), 0));
    let calibrated = estimate_of(&engine, &method(RatioEstimator::PathCalibrated), 0);
    assert_ne!(values(&calibrated)[..5], path[..5]);
    assert_eq!(values(&calibrated)[5..], [0.0; 3]);
}

#[test]
fn a_calibrated_path_without_images_is_refused_before_the_first_step() {
    let refused = with_source(RatioEstimator::PathCalibrated, Source::none());
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("the run has none; name a data set"), "{text}");
    assert!(with_source(RatioEstimator::Path, Source::none()).is_ok());
}

#[test]
fn a_calibrated_path_knows_real_images_from_samples() {
    let method = method(RatioEstimator::PathCalibrated);
    let mut engine = trained(RatioEstimator::PathCalibrated);
    for _ in 0..200 {
        engine.update_fake_score(&method).unwrap();
    }
    let found = values(&estimate_of(&engine, &method, 0));
    // E_q[l] = -KL(q‖p) < 0 on the student's own samples, far from the real images.
    let mean = found[..5].iter().sum::<f32>() / 5.0;
    assert!(mean < -0.5, "{found:?}");
}

#[test]
fn a_regressed_discriminator_is_trained_on_path_integrals_too() {
    let loss = |estimator| {
        let mut engine = trained(estimator);
        let Outcome::Applied(stats) = engine.update().unwrap() else { panic!("skipped") };
        stats["Loss/discriminator"]
    };
    assert!(loss(RatioEstimator::Discriminator) < loss(RatioEstimator::Regressed));
}

#[test]
fn path_integrals_train_no_estimator_of_augmented_images() {
    for (estimator, refused) in [(RatioEstimator::Regressed, true), (RatioEstimator::Path, false)] {
        let mut config = config(method(estimator));
        config.augment = 0.5.try_into().unwrap();
        let state = TrainState::new(mlp().init(1).unwrap(), mlp().init(2).unwrap(), None).unwrap();
        let found = build(config, state);
        assert_eq!(found.is_err(), refused);
        if let Some(err) = found.err() {
            assert!(err.to_string().contains("phase.0.method.ratio.estimator"), "{err}");
        }
    }
}
