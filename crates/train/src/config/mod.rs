//! Configuration of a distillation run.
//!
//! The types validate while they are parsed: each field of an existing [`Config`] is valid, and
//! errors show line and caret. [`crate::assemble`] checks the rest, which depends on the teacher's
//! file (labels, image size), before the first step.

mod architecture;
mod numbers;
mod optimizer;
mod parse;
mod phases;
pub(crate) mod streams;

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::Error;

pub use architecture::TeacherArchitecture;
pub use numbers::{Fraction, NonNegative, Positive};
pub use optimizer::{EmaConfig, OptimizerConfig};
pub use phases::Phase;

pub(crate) use parse::parse;

/// A distillation run. Keys that a file leaves out keep the values of [`Config::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// The teacher: a file, or the name of an embedded one.
    pub teacher: String,
    /// Generator that the run starts from, of an earlier run: a file, or the name of an embedded one.
    /// `None` starts from the teacher's weights. The fake score always starts from the teacher's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub student: Option<String>,
    /// Network of the teacher; a file that holds another one is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<TeacherArchitecture>,
    /// Real images: a file or folder, the name of an embedded set, or `teacher-samples` to use
    /// the teacher's own cached samples wherever a method needs real images.
    pub data: String,
    /// Number of teacher samples to cache, where a method or `data` needs them.
    pub teacher_samples: NonZeroUsize,
    /// Steps of the sampler that makes them; `2 · steps − 1` network evaluations each.
    pub teacher_steps: NonZeroUsize,
    /// Images in one forward pass.
    pub batch: NonZeroUsize,
    /// Forward passes whose gradients make one update.
    pub accumulation: NonZeroUsize,
    /// Share of the fake score's batch whose noise levels follow the generator's distribution
    /// instead, so that score and ratio are trained where the generator evaluates them
    /// (docs/theory.md, "Limits of an estimated ratio").
    pub fake_share: Fraction,
    /// Dropout of the fake score while it is trained.
    pub dropout: Fraction,
    /// Probability of augmenting an image that the fake score is trained on.
    pub augment: Fraction,
    /// Head that distinguishes teacher and student.
    pub discriminator: DiscriminatorHead,
    /// Feature network of the terms `frechet` and `reward`: a file, or the name of an embedded one.
    #[serde(skip_serializing_if = "is_default_features")]
    pub feature_network: String,
    /// Optimizer of the generator.
    pub generator: OptimizerConfig,
    /// Optimizer of the fake score and the discriminator.
    pub fake: OptimizerConfig,
    /// Moving average of the generator's weights, which is evaluated and exported.
    pub ema: EmaConfig,
    /// Moving average of the fake score's weights, its half-life in images shown to the fake score. The
    /// generator's step evaluates the average in place of the weights themselves. `None` for no average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fake_ema: Option<EmaConfig>,
    /// Updates in a row that may be skipped for a non-finite loss or gradient.
    pub max_skipped: u32,
    /// Intervals of statistics, sample grids and checkpoints.
    pub log: LogConfig,
    /// Phases of the run, in order.
    pub phase: Vec<Phase>,
}

/// Name of the embedded feature network.
const DEFAULT_FEATURES: &str = "fashion-mnist-features";

/// True for the default, which files leave out.
fn is_default_features(name: &str) -> bool {
    name == DEFAULT_FEATURES
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            teacher: "fashion-mnist".into(),
            student: None,
            architecture: None,
            data: "fashion-mnist".into(),
            teacher_samples: const { NonZeroUsize::new(2048).unwrap() },
            teacher_steps: const { NonZeroUsize::new(9).unwrap() },
            batch: const { NonZeroUsize::new(64).unwrap() },
            accumulation: NonZeroUsize::MIN,
            fake_share: Fraction::literal(0.5),
            dropout: Fraction::default(),
            augment: Fraction::default(),
            discriminator: DiscriminatorHead::default(),
            feature_network: DEFAULT_FEATURES.into(),
            generator: OptimizerConfig::default(),
            fake: OptimizerConfig::default(),
            ema: EmaConfig::default(),
            fake_ema: None,
            max_skipped: 20,
            log: LogConfig::default(),
            phase: vec![Phase::default()],
        }
    }
}

/// Head that turns the features of the fake score's encoder into a log-ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscriminatorHead {
    /// The mean of the encoder's last activation, without additional parameters (SiDA,
    /// Uni-Instruct).
    Bottleneck,
    /// A small head on that activation, conditioned on the noise level and the class.
    #[default]
    Learned,
}

/// Intervals at which a run writes, in images shown to the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A line of statistics.
    pub tick: u64,
    /// A grid of samples; 0 for none.
    pub samples: u64,
    /// A checkpoint; one is always written at the end and when interrupted.
    pub checkpoint: u64,
    /// Ticks in a row with a fake score that is worse than the teacher on the student's own samples, in
    /// most bins of the noise level, after which a warning is given; 0 for none.
    #[serde(skip_serializing_if = "is_default_ticks")]
    pub low_advantage_ticks: u32,
}

const LOW_ADVANTAGE_TICKS: u32 = 5;

/// True for the default, which files leave out: fingerprints of earlier versions are of such files.
fn is_default_ticks(ticks: &u32) -> bool {
    *ticks == LOW_ADVANTAGE_TICKS
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            tick: 2_000,
            samples: 20_000,
            checkpoint: 20_000,
            low_advantage_ticks: LOW_ADVANTAGE_TICKS,
        }
    }
}

impl Config {
    /// Parses a configuration; `name` is the file it came from, for errors. Each override is
    /// `key.path=value`, with the value as in TOML. Strings need no quotes.
    ///
    /// # Errors
    ///
    /// If the text or an override is invalid; the source shows the line.
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, Error> {
        parse::parse_prepared(name, text, overrides, |table| {
            // A file without phases has one, the default, so that overrides can name it.
            let one = || toml::Value::Array(vec![toml::Value::Table(toml::Table::new())]);
            table.entry("phase").or_insert_with(one);
        })
    }

    /// The full configuration as TOML, every default spelled out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration is plain data")
    }

    /// Hash of all settings that affect the run's values. Logging intervals are excluded.
    pub fn fingerprint(&self) -> String {
        let numbers = Self { log: LogConfig::default(), max_skipped: 0, ..self.clone() };
        blake3::hash(numbers.to_toml().as_bytes()).to_hex()[..16].to_owned()
    }

    /// [`Self::fingerprint`] without the average of the fake score. A checkpoint that was written before
    /// the average was configured has this one.
    pub(crate) fn fingerprint_without_fake_ema(&self) -> String {
        Self { fake_ema: None, ..self.clone() }.fingerprint()
    }

    /// Number of images in one update.
    pub fn images_per_update(&self) -> u64 {
        (self.batch.get() as u64).saturating_mul(self.accumulation.get() as u64)
    }

    /// Length of the run, in images.
    pub fn images(&self) -> u64 {
        self.phase.iter().fold(0, |sum, phase| sum.saturating_add(phase.images))
    }

    /// Index and phase at this progress. After the end of the run, the last phase.
    ///
    /// # Errors
    ///
    /// If the run has no phase.
    pub fn phase_at(&self, images: u64) -> Result<(usize, &Phase), Error> {
        let mut end = 0;
        for (index, phase) in self.phase.iter().enumerate() {
            end = phase.images.saturating_add(end);
            if images < end || index + 1 == self.phase.len() {
                return Ok((index, phase));
            }
        }
        Err(Error::unusable("phase", "the run has no phase; add a [[phase]] table"))
    }

    /// The run cut down to a smoke test: `updates` updates of every phase, each of at most two
    /// passes of two images.
    pub fn smoke(mut self, updates: u64) -> Self {
        const FEW: NonZeroUsize = NonZeroUsize::new(2).unwrap();
        (self.batch, self.accumulation) = (self.batch.min(FEW), self.accumulation.min(FEW));
        let images = self.images_per_update().saturating_mul(updates);
        for phase in &mut self.phase {
            phase.images = images;
        }
        self.log = LogConfig { tick: images, samples: images, checkpoint: images, ..self.log };
        // The fewest that a batch and the metrics need.
        let least = self.batch.get().max(metrics::NEIGHBORS + 1);
        let samples = self.teacher_samples.get().min(least);
        self.teacher_samples = NonZeroUsize::new(samples).unwrap_or(NonZeroUsize::MIN);
        self
    }
}
