//! Checks before the first update: phases, sizes, data, and the shapes that networks return.

use candle_core::Tensor;
use data::Dataset;
use divergence::FakeScoreSource as FakeSource;
use models::{Conditioning, NetworkConfig, generator::generate};

use super::engine::Engine;
use crate::{
    Config, Error,
    config::{Fraction, streams::Use},
};

/// Checks the phases of a run.
pub(super) fn phases(config: &Config) -> Result<(), Error> {
    if config.phase.is_empty() {
        return Err(Error::unusable("phase", "the run has no phase; add a [[phase]] table"));
    }
    for (index, phase) in config.phase.iter().enumerate() {
        let fault = |source| Error::Method { phase: index + 1, source };
        phase.method.validate().map_err(fault)?;
        if phase.method.sigma_init != config.phase[0].method.sigma_init {
            return Err(Error::unusable(
                format!("phase.{index}.method.sigma_init"),
                "a generator has one input level; give every phase the same",
            ));
        }
        if phase.method.steps != config.phase[0].method.steps {
            return Err(Error::unusable(
                format!("phase.{index}.method.steps"),
                "a generator has one number of steps; give every phase the same",
            ));
        }
        if phase.images == 0 {
            let name = format!("phase.{index}.images");
            return Err(Error::unusable(name, "a phase must show at least one image"));
        }
    }
    path_training(config)
}

/// Largest number of images in a forward pass, and of passes in an update. More is a typing error.
const MOST_IMAGES: usize = 1 << 20;

/// Checks an upper limit.
pub(super) fn at_most(name: &str, found: usize, most: usize) -> Result<(), Error> {
    if found <= most {
        Ok(())
    } else {
        Err(Error::unusable(name, format!("{found} is too large; give at most {most}")))
    }
}

/// Checks the number of images in an update.
pub(super) fn sizes(batch: usize, accumulation: usize) -> Result<(), Error> {
    at_most("batch", batch, MOST_IMAGES)?;
    at_most("accumulation", accumulation, MOST_IMAGES)
}

/// Checks that a network is conditioned on augmentation if its images are augmented.
pub(super) fn augment(probability: Fraction, network: &NetworkConfig) -> Result<(), Error> {
    let labels = data::augment::LABEL_LEN;
    if 0.0 < probability.get() && network.augment_dim != labels {
        let reason = format!(
            "the network takes no augmentation labels (network.augment_dim is {}, not {labels}); \
             set augment = 0",
            network.augment_dim
        );
        return Err(Error::unusable("augment", reason));
    }
    Ok(())
}

/// Checks that no estimator is trained on path integrals if images are augmented: the integrals are of
/// images without augmentation.
fn path_training(config: &Config) -> Result<(), Error> {
    for (index, phase) in config.phase.iter().enumerate() {
        if 0.0 < config.augment.get() && phase.method.ratio.estimator.trains_on_path() {
            let reason = "path integrals train it, and they are of images without augmentation; set \
                          augment = 0, or choose the estimator path";
            let key = format!("phase.{index}.method.ratio.estimator");
            return Err(Error::unusable(key, reason));
        }
    }
    Ok(())
}

/// Checks that images and labels fit a network; `name` names the data in errors.
///
/// # Errors
///
/// If images or labels do not fit; the message names both sides.
pub fn check_data(network: &NetworkConfig, dataset: &Dataset, name: &str) -> Result<(), Error> {
    let size = network.img_resolution;
    match dataset.misfit([network.img_channels, size, size], network.label_dim) {
        Some(reason) => Err(Error::unusable(name, reason)),
        None => Ok(()),
    }
}

/// Checks that the average of the fake score is there if and only if the configuration has one.
pub(super) fn fake_average(engine: &Engine) -> Result<(), Error> {
    let configured = engine.config.fake_ema.is_some();
    let reason = match (engine.state.fake_average.is_some(), engine.networks.fake_average.is_some())
    {
        (state, networks) if state == configured && networks == configured => return Ok(()),
        _ if configured => {
            "the state has no average of the fake score; make it with TrainState::with_fake_average \
             before Networks::new"
        }
        _ => "the state has an average of the fake score; give it a half-life",
    };
    Err(Error::unusable("fake_ema", reason))
}

/// Checks that the teacher accepts the noise levels of path integrals.
pub(super) fn paths(engine: &Engine) -> Result<(), Error> {
    let largest = engine.networks.teacher.sigma_range()[1];
    for (index, phase) in engine.config.phase.iter().enumerate() {
        let ratio = &phase.method.ratio;
        if ratio.estimator.uses_path() && largest < ratio.path.end {
            let reason = format!(
                "{} is above {largest}, the largest noise level of the teacher; lower it",
                ratio.path.end
            );
            let key = format!("phase.{index}.method.ratio.path.end");
            return Err(Error::unusable(key, reason));
        }
    }
    Ok(())
}

/// Batch of the evaluation that checks shapes: the smallest that distinguishes `[B]` from `[1]`.
const BATCH: usize = 2;

/// Checks the shapes that the networks of an engine return, by evaluating each once.
pub(super) fn shapes(engine: &Engine) -> Result<(), Error> {
    let networks = &engine.networks;
    let random = engine.random_inputs(0, BATCH);
    for phase in &engine.config.phase {
        let method = &phase.method;
        let labels = engine.source.labels(&random, Use::GeneratorLabel)?;
        let cond = Conditioning::labels(labels);
        let (z, sigma) = (
            random.normal(Use::GeneratorLatent)?,
            random.sigma(Use::GeneratorSigma, &method.sigma_law, None)?,
        );
        let views = [
            ("generator.tracked", &networks.generator.tracked),
            ("generator.frozen", &networks.generator.frozen),
            ("average", &networks.average),
        ];
        for (name, view) in views {
            let x0 = generate(view.as_ref(), &z, method.sigma_init, &cond)?;
            same_shape(name, &x0, z.dims())?;
        }
        same_shape("teacher", &networks.teacher.denoise(&z, &sigma, &cond)?, z.dims())?;
        let average = networks.fake_average.as_ref().map(|it| ("fake_average", it));
        let views =
            [("fake.tracked", &networks.fake.tracked), ("fake.frozen", &networks.fake.frozen)];
        for (name, fake) in views.into_iter().chain(average) {
            if method.fake_score == FakeSource::Trained {
                same_shape(name, &fake.denoise(&z, &sigma, &cond)?, z.dims())?;
            }
            if method.needs_discriminator() {
                let log_ratio = fake.log_ratio(&z, &sigma, &cond)?;
                same_shape(&format!("log-ratio of {name}"), &log_ratio, &[BATCH])?;
            }
        }
        let takes_real = engine.trains_discriminator(method) || engine.calibrates(method);
        if engine.has_fake_parameters() && takes_real {
            same_shape("real images", &engine.real(&random)?.images, z.dims())?;
        }
        if method.regression.is_some() {
            same_shape("teacher samples", &engine.source.pairs(&random)?.images, z.dims())?;
        }
    }
    Ok(())
}

fn same_shape(name: &str, found: &Tensor, expected: &[usize]) -> Result<(), Error> {
    if found.dims() == expected {
        return Ok(());
    }
    let reason = format!(
        "its shape is {:?}, expected {expected:?} for a batch of {BATCH}; mend the network, or \
         Networks::sample",
        found.dims()
    );
    Err(Error::unusable(name, reason))
}
