//! From a configuration and files to an engine: everything is checked before the first step.

use std::path::Path;

use candle_core::{DType, Device};
use data::{Dataset, Labels};
use divergence::RatioState;
use models::{
    Denoiser,
    discriminator::{Head, HeadConfig},
    network::{Architecture, NetworkConfig, NetworkFile},
    params::{ParamSet, Params},
};

use crate::{
    Config, Engine, Error, TrainState,
    config::Discriminator,
    engine::{Networks, Views},
    numbers::Fraction,
    pairs::{self, Recipe, Samples},
    source::Source,
    step::{FakeScore, fake_score::Shared},
};

/// What `data` is called in a configuration when the teacher's samples stand in for images.
pub const TEACHER_SAMPLES: &str = "teacher-samples";

/// Channels of a learned discriminator head.
const HEAD_WIDTH: usize = 32;

/// The inputs of a run, read and parsed.
pub struct Parts {
    /// The teacher.
    pub teacher: NetworkFile,
    /// Hash of the teacher's file.
    pub teacher_hash: String,
    /// Real images; `None` in the data-free mode.
    pub dataset: Option<Dataset>,
    /// Where it runs.
    pub device: Device,
}

/// Checks that a configuration can be run with a teacher of this network, on these images.
///
/// # Errors
///
/// Naming the key at fault and what to do.
pub fn check(
    config: &Config,
    network: &NetworkConfig,
    dataset: Option<&Dataset>,
) -> Result<(), Error> {
    if let Some(architecture) = &config.architecture {
        architecture.check(&config.teacher, network)?;
    }
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
        if phase.images == 0 {
            let name = format!("phase.{index}.images");
            return Err(Error::unusable(name, "a phase must show at least one image"));
        }
    }
    check_sizes(config.batch.get(), config.accumulation.get())?;
    at_most("teacher_steps", config.teacher_steps.get(), MOST_STEPS)?;
    at_most("teacher_samples", config.teacher_samples.get(), MOST_SAMPLES)?;
    check_augment(config.augment, network)?;
    let Some(dataset) = dataset else { return Ok(()) };
    check_data(network, dataset, &config.data)?;
    if needs_samples(config) && matches!(dataset.labels(), Labels::Soft { .. }) {
        let reason = "its labels are vectors, and samples of the teacher are made by class; \
                      choose a method without regression";
        return Err(Error::unusable(&config.data, reason));
    }
    Ok(())
}

/// Images in a forward pass, and passes in an update, beyond which a number is a slip of the pen.
const MOST_IMAGES: usize = 1 << 20;
/// Steps of a sampler beyond which more make no difference.
const MOST_STEPS: usize = 1000;
/// Samples that a run may keep.
const MOST_SAMPLES: usize = 1 << 24;

fn at_most(name: &str, found: usize, most: usize) -> Result<(), Error> {
    match found <= most {
        true => Ok(()),
        false => Err(Error::unusable(name, format!("{found} is too large, at most {most}"))),
    }
}

/// Checks the images of an update, which tensors are made from.
pub(crate) fn check_sizes(batch: usize, accumulation: usize) -> Result<(), Error> {
    at_most("batch", batch, MOST_IMAGES)?;
    at_most("accumulation", accumulation, MOST_IMAGES)
}

/// Checks that a network that is to see augmented images is told how they were augmented.
pub(crate) fn check_augment(augment: Fraction, network: &NetworkConfig) -> Result<(), Error> {
    let labels = data::augment::LABEL_LEN;
    if 0.0 < augment.get() && network.augment_dim != labels {
        let reason = format!(
            "the network does not take augmentation labels (network.augment_dim is {}, not \
             {labels}); set augment = 0",
            network.augment_dim
        );
        return Err(Error::unusable("augment", reason));
    }
    Ok(())
}

/// Checks that images and labels fit a network; `name` is what the data are called in errors.
///
/// # Errors
///
/// If they do not.
pub fn check_data(network: &NetworkConfig, dataset: &Dataset, name: &str) -> Result<(), Error> {
    let size = network.img_resolution;
    match dataset.misfit([network.img_channels, size, size], network.label_dim) {
        Some(reason) => Err(Error::unusable(name, reason)),
        None => Ok(()),
    }
}

/// Whether a run needs samples of the teacher.
pub fn needs_samples(config: &Config) -> bool {
    let methods = || config.phase.iter().map(|phase| &phase.method);
    let data_free = config.data == TEACHER_SAMPLES;
    methods().any(|method| method.regression.is_some())
        || (data_free && needs_discriminator(config))
}

/// Whether a run trains a discriminator.
pub fn needs_discriminator(config: &Config) -> bool {
    config.phase.iter().any(|phase| phase.method.needs_discriminator())
}

/// Whether a run trains a head of its own on the fake score's features.
pub(crate) fn needs_head(config: &Config) -> bool {
    config.discriminator == Discriminator::Learned && needs_discriminator(config)
}

/// The head on a network's features.
pub(crate) fn head(network: &NetworkConfig) -> HeadConfig {
    HeadConfig::new(network, HEAD_WIDTH)
}

/// Builds the engine. `folder` keeps the teacher's samples; `progress` is told of their making.
///
/// # Errors
///
/// If the configuration cannot be run on these parts.
pub fn assemble(
    config: Config,
    parts: Parts,
    folder: &Path,
    progress: impl FnMut(u64, u64) -> Result<(), Error>,
) -> Result<Engine, Error> {
    check(&config, &parts.teacher.config, parts.dataset.as_ref())?;
    let Parts { teacher, teacher_hash, dataset, device } = parts;
    let network = teacher.config;
    let teacher_params = match device.is_cpu() {
        true => teacher.params,
        false => teacher.params.to_device(&device)?,
    };
    let generator = teacher_params.deep_copy()?;
    let fake = teacher_params.deep_copy()?;
    let mut fake_config = network.clone();
    match &mut fake_config.architecture {
        Architecture::Song(song) => song.dropout = config.dropout.get(),
        Architecture::Dhariwal(dhariwal) => dhariwal.dropout = config.dropout.get(),
    }
    let head_config = head(&fake_config);
    let head = match needs_head(&config) {
        true => Some(head_config.init(config.seed)?.to_device(&device)?),
        false => None,
    };
    let state = TrainState::new(generator, fake, head, RatioState::default())?;

    let frozen = |params: &ParamSet| -> Result<Box<dyn Denoiser>, Error> {
        Ok(Box::new(network.build(&params.frozen())?))
    };
    // The head's parameters are tracked or frozen as the network's are.
    let fake_score = |view: fn(&ParamSet) -> Params| -> Result<Box<dyn FakeScore>, Error> {
        let head = match &state.discriminator {
            Some(head) => Head::Learned(Box::new(head_config.build(&view(&head.params))?)),
            None => Head::Bottleneck,
        };
        let network = fake_config.build(&view(&state.fake.params))?;
        Ok(Box::new(Shared { network, head }))
    };
    let networks = Networks {
        teacher: frozen(&teacher_params)?,
        generator: Views {
            tracked: Box::new(network.build(&state.generator.params.trainable())?),
            frozen: frozen(&state.generator.params)?,
        },
        average: frozen(&state.ema)?,
        fake: Views {
            tracked: fake_score(ParamSet::trainable)?,
            frozen: fake_score(ParamSet::frozen)?,
        },
        sigma_data: network.sigma_data,
        sample: vec![network.img_channels, network.img_resolution, network.img_resolution],
    };
    let recipe = Recipe {
        teacher: teacher_hash,
        seed: config.seed,
        count: config.teacher_samples.get(),
        steps: config.teacher_steps.get(),
        sample: networks.sample.clone(),
        label_dim: network.label_dim,
    };
    let samples = match needs_samples(&config) {
        true => {
            let path = folder.join(pairs::FILE);
            Some(samples(recipe, &networks, dataset.as_ref(), &config, &path, &device, progress)?)
        }
        false => None,
    };
    let source = Source { dataset, samples, label_dim: network.label_dim };
    Ok(Engine { config, networks, state, source, device, dtype: DType::F32 })
}

fn samples(
    recipe: Recipe,
    networks: &Networks,
    labels: Option<&Dataset>,
    config: &Config,
    path: &Path,
    device: &Device,
    progress: impl FnMut(u64, u64) -> Result<(), Error>,
) -> Result<Samples, Error> {
    if let Some(samples) = Samples::load(path, &recipe)? {
        return Ok(samples);
    }
    let labels = labels.filter(|set| set.classes() == recipe.label_dim);
    let (teacher, batch) = (networks.teacher.as_ref(), config.batch.get());
    let samples = Samples::make(recipe, teacher, labels, batch, device, progress)?;
    samples.save(path)?;
    Ok(samples)
}
