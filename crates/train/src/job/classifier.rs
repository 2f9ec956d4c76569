//! Training of the feature network: a classifier of labeled images, whose features metrics use.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Instant,
};

use candle_core::{DType, Device, Tensor};
use data::{Dataset, Stream};
use metrics::{FeatureNet, cross_entropy};
use serde::{Deserialize, Serialize};

use super::{accumulation::Accumulation, check, run::Job};
use crate::{
    Error,
    config::{
        EmaConfig, Fraction, LogConfig, NonNegative, OptimizerConfig, Positive,
        streams::{Use, derived_seed, stream},
    },
    state::{
        AveragedState, Outcome, Progress,
        checkpoint::{self, RunIdentity},
    },
};

/// Configuration of a feature network's training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierConfig {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// Labeled images: a file or folder, or the name of an embedded set.
    pub data: String,
    /// Black pixels added to each side of an image, and the largest shift of its augmentation.
    pub pad: usize,
    /// Length of the run, in images shown.
    pub images: u64,
    /// Images in one update.
    pub batch: NonZeroUsize,
    /// Optimizer; its step size falls to zero along half a cosine.
    pub optimizer: OptimizerConfig,
    /// Moving average of the weights, which is exported.
    pub ema: EmaConfig,
    /// Intervals of statistics and checkpoints.
    pub log: LogConfig,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            data: "fashion-mnist".into(),
            pad: 2,
            images: 1_500_000,
            batch: const { NonZeroUsize::new(100).unwrap() },
            optimizer: OptimizerConfig {
                learning_rate: Positive::literal(2e-3),
                beta1: Fraction::literal(0.9),
                weight_decay: NonNegative::literal(0.05),
                ..OptimizerConfig::default()
            },
            ema: EmaConfig { half_life: Positive::literal(20e3), ramp: Positive::literal(0.05) },
            log: LogConfig { tick: 10_000, samples: 0, checkpoint: 50_000, ..LogConfig::default() },
        }
    }
}

impl ClassifierConfig {
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

    /// Hash of all settings that affect the run's values, including the length, which sets the step
    /// sizes.
    pub fn fingerprint(&self) -> String {
        let numbers = Self { log: LogConfig::default(), ..self.clone() };
        blake3::hash(numbers.to_toml().as_bytes()).to_hex()[..16].to_owned()
    }
}

/// A feature network in training.
pub struct Classifier {
    /// Configuration.
    pub config: ClassifierConfig,
    /// Everything that an update changes.
    pub state: AveragedState,
    dataset: Dataset,
    network: FeatureNet,
    device: Device,
}

impl Classifier {
    /// A network before its first update.
    ///
    /// # Errors
    ///
    /// If the images have no classes, if their shape or number of classes does not fit the network,
    /// or if a batch is too large.
    pub fn new(config: ClassifierConfig, dataset: Dataset, device: Device) -> Result<Self, Error> {
        check::sizes(config.batch.get(), 1)?;
        let dataset = dataset.pad(config.pad)?;
        if dataset.label(0).is_none() {
            let reason =
                "a classifier needs images with classes, and these have none; name a labeled set";
            return Err(Error::unusable(config.data, reason));
        }
        if dataset.shape() != FeatureNet::IMAGE || FeatureNet::CLASSES < dataset.classes() {
            let reason = format!(
                "the feature network takes images {:?} of up to {} classes; these are {:?} \
                 (padded by {}) of {}; change `pad` or name another data set",
                FeatureNet::IMAGE,
                FeatureNet::CLASSES,
                dataset.shape(),
                config.pad,
                dataset.classes()
            );
            return Err(Error::unusable(config.data, reason));
        }
        let params = FeatureNet::init(config.seed)?.to_device(&device)?;
        let state = AveragedState::new("network", params)?;
        let network = FeatureNet::new(&state.trained.params.trainable())?;
        Ok(Self { config, state, dataset, network, device })
    }

    fn try_update(&mut self) -> Result<Outcome, Error> {
        let (config, position) = (&self.config, self.state.progress.images);
        let seed = derived_seed(config.seed, Use::RealOrder);
        let stream = Stream { dataset: &self.dataset, seed };
        let batch = stream.batch_at(position, config.batch.get(), &self.device)?;
        let images = shifted(&batch.images, config.pad, config.seed, position)?;
        let classes = batch.classes.unwrap_or_default();
        let classes = Tensor::from_vec(classes, config.batch.get(), &self.device)?;
        let logits = self.network.logits(&self.network.features(&images)?)?;
        let losses = cross_entropy(&logits, &classes)?;
        let mut pass = Accumulation::new();
        pass.mean("Loss/loss", &losses)?;
        let hits = logits.argmax(1)?.eq(&classes)?.to_dtype(DType::F32)?;
        pass.mean("Accuracy/train", &hits)?;
        let mut store = models::backward(&losses.mean_all()?)?;
        pass.gradients.accumulate(&self.state.trained.params, &mut store)?;
        pass.norm("Norm/network")?;
        if let Some(what) = pass.non_finite() {
            return Ok(Outcome::Skipped(what));
        }
        // Half a cosine over the run. The last step size is positive, though tiny.
        let done = position as f64 / config.images.max(1) as f64;
        let factor = 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos());
        let cooled = config.optimizer.cooled(config.images.saturating_sub(position));
        let rate = cooled.learning_rate.get() * factor.max(1e-6);
        let optimizer = OptimizerConfig {
            learning_rate: Positive::try_from(rate).unwrap_or(cooled.learning_rate),
            ..cooled
        };
        let images = position + config.batch.get() as u64;
        let batch = config.batch.get() as u64;
        self.state.update(&optimizer, &config.ema, &pass.gradients, images, batch)?;
        Ok(Outcome::Applied(pass.stats))
    }
}

/// Shifts each image by up to `reach` pixels in both directions. Pixels that leave on one side
/// return on the other; they are black if the padding is as wide as the reach.
///
/// Images are not mirrored: the direction of a shoe is a property of the distribution that features
/// must capture.
fn shifted(images: &Tensor, reach: usize, seed: u64, position: u64) -> Result<Tensor, Error> {
    let random = stream(seed, Use::Augment);
    let span = 2 * reach as u64 + 1;
    let by = |at: u64, lane| random.below(at, lane, span) as i32 - reach as i32;
    let moved = |i: usize| -> candle_core::Result<Tensor> {
        let at = position + i as u64;
        images.narrow(0, i, 1)?.roll(by(at, 0), 2)?.roll(by(at, 1), 3)
    };
    let moved: Vec<Tensor> = (0..images.dim(0)?).map(moved).collect::<Result<_, _>>()?;
    Ok(Tensor::cat(&moved, 0)?)
}

impl Job for Classifier {
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
        let images = self.config.batch.get() as u64;
        self.state.progress.record(&outcome, images, started.elapsed().as_secs_f64(), 0)?;
        Ok(outcome)
    }

    fn samples(&self) -> Result<Option<Tensor>, Error> {
        Ok(None)
    }

    fn save(&mut self, folder: &Path) -> Result<PathBuf, Error> {
        let text = self.config.to_toml();
        let hash = self.config.fingerprint();
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

/// Share of a data set's images that an extractor classifies correctly.
///
/// # Errors
///
/// If the images do not fit, or have no classes.
pub fn accuracy(
    extractor: &dyn metrics::FeatureExtractor,
    dataset: &Dataset,
    device: &Device,
) -> Result<f64, Error> {
    const BATCH: usize = 250;
    let count = dataset.len();
    let batches = (0..count).step_by(BATCH).map(|start| -> Result<Tensor, Error> {
        let indices: Vec<usize> = (start..(start + BATCH).min(count)).collect();
        Ok(dataset.batch(&indices, device)?.images)
    });
    let features = metrics::FeatureSet::collect(extractor, batches)?;
    let labels: Option<Vec<u32>> = (0..dataset.len()).map(|i| dataset.label(i)).collect();
    match (features.logits, labels) {
        (Some(logits), Some(labels)) => Ok(metrics::class_accuracy(&logits, &labels)?),
        _ => Err(Error::unusable(
            "data set",
            "it has no classes, or the extractor has no logits; name a labeled set and a classifier",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bright pixel at (3, 4) of a black image, far enough from the border.
    fn dots(count: usize) -> Tensor {
        let mut pixels = vec![-1f32; count * 81];
        (0..count).for_each(|i| pixels[i * 81 + 3 * 9 + 4] = 1.0);
        Tensor::from_vec(pixels, (count, 1, 9, 9), &Device::Cpu).unwrap()
    }

    #[test]
    fn shifts_cover_the_reach_and_do_not_exceed_it() {
        let moved = shifted(&dots(200), 2, 7, 100).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for image in moved.flatten_from(1).unwrap().to_vec2::<f32>().unwrap() {
            let bright: Vec<usize> = (0..81).filter(|&at| image[at] == 1.0).collect();
            assert_eq!(bright.len(), 1);
            seen.insert((bright[0] / 9, bright[0] % 9));
        }
        assert_eq!(seen.len(), 25, "{seen:?}");
        assert!(seen.iter().all(|&(y, x)| (1..=5).contains(&y) && (2..=6).contains(&x)));
    }
}
