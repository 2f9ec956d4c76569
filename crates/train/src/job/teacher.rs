//! Training of a teacher: EDM's denoising loss on real images.
//!
//! Optimizer, average, checkpoints and loop are shared with distillation. See Karras et al. 2022,
//! arXiv:2206.00364, Table 1 (loss, noise levels) and Table 7 (hyperparameters).

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

use candle_core::{DType, Device, Tensor};
use data::{Dataset, Stream};
use divergence::SigmaDistribution;
use models::{
    Conditioning, Denoiser, DropoutKey,
    edm::sampler::{SamplerConfig, sample, stream_noise},
    labels::one_hot,
    network::{Network, NetworkConfig, NetworkFile},
};
use serde::{Deserialize, Serialize};

use super::{accumulation::Accumulation, check, run::Job};
use crate::{
    Error,
    config::{
        EmaConfig, Fraction, LogConfig, OptimizerConfig,
        streams::{Use, derived_seed, stream},
    },
    state::{
        AveragedState, Outcome, Progress,
        checkpoint::{self, RunIdentity},
    },
    step::{Noised, RandomInputs, denoising_loss},
};

/// Configuration of a teacher's training. Keys that a file leaves out keep their default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Seed of every random stream of the run.
    #[serde(default)]
    pub seed: u64,
    /// Real images: a file or folder, or the name of an embedded set.
    pub data: String,
    /// Black pixels added to each side of an image.
    #[serde(default)]
    pub pad: usize,
    /// The network.
    pub network: NetworkConfig,
    /// File of a network of the same architecture, to start from instead of random weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<String>,
    /// Length of the run, in images shown.
    pub images: u64,
    /// Images in one forward pass.
    pub batch: NonZeroUsize,
    /// Forward passes whose gradients make one update.
    #[serde(default = "one")]
    pub accumulation: NonZeroUsize,
    /// Noise levels of the loss.
    #[serde(default = "edm_sigma")]
    pub sigma_law: SigmaDistribution,
    /// Probability of augmenting an image.
    #[serde(default)]
    pub augment: Fraction,
    /// Optimizer.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Moving average of the weights, which is exported.
    #[serde(default)]
    pub ema: EmaConfig,
    /// Updates in a row that may be skipped for a non-finite loss or gradient.
    #[serde(default)]
    pub max_skipped: u32,
    /// Intervals of statistics, sample grids and checkpoints.
    #[serde(default)]
    pub log: LogConfig,
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// Distribution of EDM's noise levels in training, `ln σ ~ N(−1.2, 1.2²)` (Table 1).
fn edm_sigma() -> SigmaDistribution {
    SigmaDistribution::LogNormal { mean: -1.2, std: 1.2 }
}

impl TeacherConfig {
    /// Parses a configuration; `name` is the file it came from, for errors.
    ///
    /// # Errors
    ///
    /// If the text or an override is invalid; the source shows the line.
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, Error> {
        crate::config::parse(name, text, overrides)
    }

    /// The full configuration as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration is plain data")
    }

    /// Hash of all settings that affect the run's values. The length is excluded, so that training
    /// can be extended. The name of the initial file is excluded, because it does not determine the
    /// file's content.
    pub fn fingerprint(&self) -> String {
        let log = LogConfig::default();
        let numbers = Self { log, max_skipped: 0, images: 0, init: None, ..self.clone() };
        blake3::hash(numbers.to_toml().as_bytes()).to_hex()[..16].to_owned()
    }
}

/// A teacher in training.
pub struct Teacher {
    /// Configuration.
    pub config: TeacherConfig,
    /// Everything that an update changes.
    pub state: AveragedState,
    dataset: Dataset,
    network: Network,
    average: Network,
    device: Device,
}

impl Teacher {
    /// A teacher before its first update.
    ///
    /// # Errors
    ///
    /// If the data do not fit the network, or a value of the configuration is out of range.
    pub fn new(config: TeacherConfig, dataset: Dataset, device: Device) -> Result<Self, Error> {
        let dataset = dataset.pad(config.pad)?;
        check::check_data(&config.network, &dataset, &config.data)?;
        check::sizes(config.batch.get(), config.accumulation.get())?;
        check::augment(config.augment, &config.network)?;
        let valid = config.sigma_law.validate("sigma_law");
        valid.map_err(|err| Error::unusable("sigma_law", err.to_string()))?;
        let params = config.network.init(config.seed)?.to_device(&device)?;
        let state = AveragedState::new("teacher", params)?;
        let network = config.network.build(&state.trained.params.trainable())?;
        let average = config.network.build(&state.ema.frozen())?;
        Ok(Self { config, state, dataset, network, average, device })
    }

    /// Replaces the random initial weights with those in a file, the configuration's `init`.
    ///
    /// # Errors
    ///
    /// If the file holds another architecture than the configuration.
    pub fn start_from(&mut self, file: &NetworkFile) -> Result<(), Error> {
        if file.config != self.config.network {
            let reason = "it holds another network than [network] describes; copy its \
                          architecture from `uni-instruct inspect`, or leave `init` out";
            return Err(Error::unusable("init", reason));
        }
        let weights = file.params.tensors();
        self.state.trained.params.set_from(&weights)?;
        Ok(self.state.ema.set_from(&weights)?)
    }

    /// The averaged network.
    pub fn average(&self) -> &Network {
        &self.average
    }

    fn images_per_update(&self) -> u64 {
        self.config.batch.get() as u64 * self.config.accumulation.get() as u64
    }

    fn backward(&self, position: u64, pass: &mut Accumulation) -> Result<(), Error> {
        let config = &self.config;
        let random = RandomInputs {
            seed: config.seed,
            position,
            batch: config.batch.get(),
            sample: &self.dataset.shape(),
            dtype: DType::F32,
            device: &self.device,
        };
        let order = derived_seed(config.seed, Use::RealOrder);
        let stream = Stream { dataset: &self.dataset, seed: order };
        let batch = stream.batch_at(position, random.batch, &self.device)?;
        let labels = batch.labels.filter(|_| config.network.label_dim != 0);
        let mut cond = Conditioning::labels(labels);
        let mut images = batch.images;
        if 0.0 < config.augment.get() {
            let seed = derived_seed(config.seed, Use::Augment);
            let pipe = data::augment::AugmentPipe::edm(config.augment.get());
            let (augmented, parameters) = pipe.apply(&images, seed, position)?;
            (images, cond.augment) = (augmented, Some(parameters));
        }
        cond.dropout = Some(DropoutKey { seed: derived_seed(config.seed, Use::Dropout), position });
        let sigma = random.sigma(Use::TeacherSigma, &config.sigma_law, None)?;
        let noised = Noised::new(images, &sigma, &random.normal(Use::TeacherNoise)?)?;
        let denoised = self.network.denoise(&noised.x, &sigma, &cond)?;
        let losses = denoising_loss(&denoised, &noised.x0, &sigma, config.network.sigma_data)?;
        let elements = noised.x0.elem_count() / random.batch;
        pass.mean("Loss/loss", &(&losses / elements as f64)?)?;
        let loss = (losses.mean_all()? / config.accumulation.get() as f64)?;
        Ok(pass.gradients.accumulate(&self.state.trained.params, &mut models::backward(&loss)?)?)
    }

    fn try_update(&mut self) -> Result<Outcome, Error> {
        let mut pass = Accumulation::new();
        let mut position = self.state.progress.images;
        for _ in 0..self.config.accumulation.get() {
            self.backward(position, &mut pass)?;
            position += self.config.batch.get() as u64;
        }
        pass.norm("Norm/teacher")?;
        if let Some(what) = pass.non_finite() {
            return Ok(Outcome::Skipped(what));
        }
        let (config, batch) = (&self.config, self.images_per_update());
        let left = config.images.saturating_sub(self.state.progress.images);
        let optimizer = config.optimizer.cooled(left);
        self.state.update(&optimizer, &config.ema, &pass.gradients, position, batch)?;
        Ok(Outcome::Applied(pass.stats))
    }
}

impl Job for Teacher {
    fn progress(&self) -> Progress {
        self.state.progress
    }

    fn total(&self) -> u64 {
        self.config.images
    }

    fn log(&self) -> LogConfig {
        self.config.log
    }

    fn phase(&self) -> Option<(usize, String)> {
        None
    }

    fn update(&mut self) -> Result<Outcome, Error> {
        let started = Instant::now();
        let outcome = self.try_update()?;
        let (images, seconds) = (self.images_per_update(), started.elapsed().as_secs_f64());
        self.state.progress.record(&outcome, images, seconds, self.config.max_skipped)?;
        Ok(outcome)
    }

    fn samples(&self) -> Result<Option<Tensor>, Error> {
        Ok(Some(preview(&self.average, &self.config.network, self.config.seed, &self.device)?))
    }

    fn save(&mut self, folder: &Path) -> Result<PathBuf, Error> {
        let (text, hash) = (self.config.to_toml(), self.config.fingerprint());
        let identity = RunIdentity { config: &text, fingerprint: &hash, earlier: None };
        checkpoint::save(folder, identity, self.state.progress.images, &mut self.state)
    }

    fn resume(&mut self, path: &Path) -> Result<(), Error> {
        let (text, hash) = (self.config.to_toml(), self.config.fingerprint());
        checkpoint::load(
            path,
            RunIdentity { config: &text, fingerprint: &hash, earlier: None },
            &mut self.state,
        )
    }
}

/// Preview of a teacher: 30 images of consecutive classes, 18 steps of Heun's sampler.
fn preview(
    network: &Network,
    config: &NetworkConfig,
    seed: u64,
    device: &Device,
) -> Result<Tensor, Error> {
    const COUNT: usize = 30;
    let shape = (COUNT, config.img_channels, config.img_resolution, config.img_resolution);
    let z = stream(seed, Use::SampleLatent).normal_tensor(0, shape, device)?;
    let labels = match config.label_dim {
        0 => None,
        k => {
            let classes: Vec<u32> = (0..COUNT as u32).map(|i| i % k as u32).collect();
            Some(one_hot(&classes, k, device)?)
        }
    };
    let mut noise = stream_noise(stream(seed, Use::Churn), 0, COUNT as u64, device);
    let cond = Conditioning::labels(labels);
    Ok(sample(network, &SamplerConfig::default(), &z, &cond, &mut noise)?)
}
