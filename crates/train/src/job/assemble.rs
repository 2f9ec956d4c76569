//! Assembly of an engine from a configuration and files. Everything is checked before the first step.

use std::path::Path;

use candle_core::{DType, Device};
use data::{Dataset, Labels};
use divergence::Method;
use metrics::{FeatureNet, FeatureNetFile};
use models::{
    Denoiser,
    discriminator::{Head, HeadConfig},
    network::{NetworkConfig, NetworkFile, Role},
    params::{ParamSet, Params},
};

use super::{
    check::{at_most, augment, phases, sizes},
    engine::Engine,
    feature_check,
    networks::{NetworkViews, Networks},
};
use crate::{
    Config, Error,
    config::DiscriminatorHead,
    source::{self, RealImages, Source, TeacherSampleSpec, TeacherSamples},
    state::TrainState,
    step::{FakeScoreModel, Monitors, SharedBackbone, schedule},
};

pub use super::check::check_data;

/// Value of the key `data` that selects the teacher's own samples as real images.
pub const TEACHER_SAMPLES: &str = "teacher-samples";

/// Channels of a learned discriminator head.
const HEAD_WIDTH: usize = 32;

/// Inputs of a run, read and parsed.
pub struct RunInputs {
    /// Teacher.
    pub teacher: NetworkFile,
    /// Hash of the teacher's file.
    pub teacher_hash: String,
    /// Generator to start from, if the configuration names one.
    pub student: Option<NetworkFile>,
    /// Real images; `None` in the data-free mode.
    pub dataset: Option<Dataset>,
    /// Feature network of the terms `frechet` and `reward`; see [`needs_features`].
    pub features: Option<FeatureNetFile>,
    /// Device of the run.
    pub device: Device,
}

/// Checks that a configuration fits a teacher of this network and these images.
///
/// # Errors
///
/// If it does not; the message names the key at fault and a remedy.
pub fn check(
    config: &Config,
    network: &NetworkConfig,
    dataset: Option<&Dataset>,
) -> Result<(), Error> {
    if let Some(architecture) = &config.architecture {
        architecture.check(&config.teacher, network)?;
    }
    phases(config)?;
    sizes(config.batch.get(), config.accumulation.get())?;
    at_most("teacher_steps", config.teacher_steps.get(), MOST_STEPS)?;
    at_most("teacher_samples", config.teacher_samples.get(), MOST_SAMPLES)?;
    augment(config.augment, network)?;
    feature_check::of_files(config, network)?;
    let Some(dataset) = dataset else { return Ok(()) };
    check_data(network, dataset, &config.data)?;
    if needs_samples(config) && matches!(dataset.labels(), Labels::Soft { .. }) {
        let reason = "its labels are vectors, and samples of the teacher are drawn by class; choose \
                      a method without regression";
        return Err(Error::unusable(&config.data, reason));
    }
    Ok(())
}

/// Checks that a generator can be trained further in a run.
///
/// # Errors
///
/// If it is a teacher, has another network than the teacher, or is called at other noise levels than the
/// run's methods call it.
pub fn check_student(
    config: &Config,
    network: &NetworkConfig,
    student: &NetworkFile,
) -> Result<(), Error> {
    let name = config.student.clone().unwrap_or_default();
    let Role::Generator(found) = student.role else {
        let reason = "it is a teacher; give a generator, or leave out the key student";
        return Err(Error::unusable(name, reason));
    };
    if student.config != *network {
        let reason = "its network differs from the teacher's; give a generator of this teacher";
        return Err(Error::unusable(name, reason));
    }
    let expected = schedule(&config.phase_at(0)?.1.method);
    if found != expected {
        let reason = format!(
            "it was trained for sigma_init = {} and steps = {}, and the method has {} and {}; give \
             the method the generator's",
            found.sigma_init, found.steps, expected.sigma_init, expected.steps
        );
        return Err(Error::unusable(name, reason));
    }
    Ok(())
}

/// Largest number of sampler steps. More make no difference.
const MOST_STEPS: usize = 1000;
/// Largest number of teacher samples in a cache.
const MOST_SAMPLES: usize = 1 << 24;

/// Tests for a run that needs samples of the teacher.
pub fn needs_samples(config: &Config) -> bool {
    let methods = || config.phase.iter().map(|phase| &phase.method);
    let data_free = config.data == TEACHER_SAMPLES;
    methods().any(|method| method.regression.is_some())
        || (data_free && methods().any(Method::needs_real_images))
}

/// Tests for a run that needs a feature network.
pub fn needs_features(config: &Config) -> bool {
    let mut methods = config.phase.iter().map(|phase| &phase.method);
    methods.any(|method| method.frechet.is_some() || method.reward.is_some())
}

/// Tests for a run that trains a discriminator.
pub(crate) fn needs_discriminator(config: &Config) -> bool {
    config.phase.iter().any(|phase| phase.method.needs_discriminator())
}

/// Tests for a run that trains a separate head on the fake score's features.
pub(crate) fn needs_head(config: &Config) -> bool {
    config.discriminator == DiscriminatorHead::Learned && needs_discriminator(config)
}

/// Configuration of the head on a network's features.
pub(crate) fn head(network: &NetworkConfig) -> HeadConfig {
    HeadConfig::new(network, HEAD_WIDTH)
}

/// Builds the engine. `folder` caches the teacher's samples; `progress` receives the number of
/// finished samples and the total.
///
/// # Errors
///
/// If the configuration does not fit the inputs.
pub fn assemble(
    config: Config,
    inputs: RunInputs,
    folder: &Path,
    progress: impl FnMut(u64, u64) -> Result<(), Error>,
) -> Result<Engine, Error> {
    check(&config, &inputs.teacher.config, inputs.dataset.as_ref())?;
    let RunInputs { teacher, teacher_hash, student, dataset, features, device } = inputs;
    let network = teacher.config;
    let teacher_params =
        if device.is_cpu() { teacher.params } else { teacher.params.to_device(&device)? };
    let generator = match student.filter(|_| config.student.is_some()) {
        Some(student) => {
            check_student(&config, &network, &student)?;
            student.params.to_device(&device)?.deep_copy()?
        }
        None => teacher_params.deep_copy()?,
    };
    let fake = teacher_params.deep_copy()?;
    let fake_config = network.clone().with_dropout(config.dropout.get());
    let head_config = head(&fake_config);
    let head = if needs_head(&config) {
        Some(head_config.init(config.seed)?.to_device(&device)?)
    } else {
        None
    };
    let mut state = TrainState::new(generator, fake, head)?;
    if config.fake_ema.is_some() {
        state = state.with_fake_average()?;
    }

    let denoiser = |params: &Params| -> Result<Box<dyn Denoiser>, Error> {
        Ok(Box::new(network.build(params)?))
    };
    type View = fn(&ParamSet) -> Params;
    // The head's parameters are tracked or frozen as the network's are.
    let fake_score = |view: View,
                      network: &ParamSet,
                      head: Option<&ParamSet>|
     -> Result<Box<dyn FakeScoreModel>, Error> {
        let head = match head {
            Some(head) => Head::Learned(Box::new(head_config.build(&view(head))?)),
            None => Head::Bottleneck,
        };
        Ok(Box::new(SharedBackbone { network: fake_config.build(&view(network))?, head }))
    };
    let (own, own_head) = (&state.fake.params, state.discriminator.as_ref().map(|it| &it.params));
    let networks = Networks {
        teacher: denoiser(&teacher_params.frozen())?,
        generator: NetworkViews::new(&state.generator.params, denoiser)?,
        average: denoiser(&state.ema.frozen())?,
        fake: NetworkViews {
            tracked: fake_score(ParamSet::trainable, own, own_head)?,
            frozen: fake_score(ParamSet::frozen, own, own_head)?,
        },
        fake_average: match &state.fake_average {
            Some(it) => Some(fake_score(ParamSet::frozen, &it.network, it.head.as_ref())?),
            None => None,
        },
        features: match features.filter(|_| needs_features(&config)) {
            Some(file) => {
                Some(Box::new(FeatureNet::new(&file.params.to_device(&device)?.frozen())?))
            }
            None => None,
        },
        sigma_data: network.sigma_data,
        sample: vec![network.img_channels, network.img_resolution, network.img_resolution],
    };
    let spec = TeacherSampleSpec {
        teacher: teacher_hash,
        seed: config.seed,
        count: config.teacher_samples.get(),
        steps: config.teacher_steps.get(),
        sample: networks.sample.clone(),
        label_dim: network.label_dim,
    };
    let samples = if needs_samples(&config) {
        let path = folder.join(source::FILE);
        Some(samples(spec, &networks, dataset.as_ref(), &config, &path, &device, progress)?)
    } else {
        None
    };
    let real = dataset.map_or(RealImages::TeacherSamples, RealImages::Dataset);
    let source = Source { real, samples, label_dim: network.label_dim };
    let monitors = Monitors::new(&config.phase_at(0)?.1.method);
    let dtype = DType::F32;
    let reference = None;
    let engine = Engine { config, networks, state, source, device, dtype, monitors, reference };
    engine.prepared()
}

fn samples(
    spec: TeacherSampleSpec,
    networks: &Networks,
    labels: Option<&Dataset>,
    config: &Config,
    path: &Path,
    device: &Device,
    progress: impl FnMut(u64, u64) -> Result<(), Error>,
) -> Result<TeacherSamples, Error> {
    if let Some(samples) = TeacherSamples::load(path, &spec)? {
        return Ok(samples);
    }
    let labels = labels.filter(|set| set.classes() == spec.label_dim);
    let (teacher, batch) = (networks.teacher.as_ref(), config.batch.get());
    let samples = TeacherSamples::generate(spec, teacher, labels, batch, device, progress)?;
    samples.save(path)?;
    Ok(samples)
}
