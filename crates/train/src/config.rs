//! The configuration of a distillation run.
//!
//! Types check it while it is parsed: a [`Config`] that exists is valid in each of its fields, and
//! errors show line and caret. What depends on the teacher's file (labels, image size) is checked
//! in [`crate::assemble`], before the first step.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Error,
    architecture::Architecture,
    numbers::{Fraction, Positive},
    optim::OptimizerConfig,
    phases::Phase,
};

/// A distillation run. Keys that a file leaves out keep the values of [`Config::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// The teacher: a file, or the name of an embedded one.
    pub teacher: String,
    /// What network the teacher is; a file that holds another one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Architecture>,
    /// Real images: a file or folder, the name of an embedded set, or `teacher-samples` to use
    /// the teacher's own cached samples wherever a method needs real images.
    pub data: String,
    /// Samples of the teacher to cache, where a method or `data` asks for them.
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
    /// Probability of augmenting what the fake score is trained on.
    pub augment: Fraction,
    /// Which head tells teacher from student.
    pub discriminator: Discriminator,
    /// How the generator is updated.
    pub generator: OptimizerConfig,
    /// How the fake score and the discriminator are updated.
    pub fake: OptimizerConfig,
    /// The average of the generator's weights that is evaluated and kept.
    pub ema: EmaConfig,
    /// Updates in a row that may be skipped for a non-finite loss or gradient.
    pub max_skipped: u32,
    /// What is written while the run goes on, in images.
    pub log: LogConfig,
    /// What is descended, one after the other.
    pub phase: Vec<Phase>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            teacher: "fashion-mnist".into(),
            architecture: None,
            data: "fashion-mnist".into(),
            teacher_samples: const { NonZeroUsize::new(2048).unwrap() },
            teacher_steps: const { NonZeroUsize::new(9).unwrap() },
            batch: const { NonZeroUsize::new(64).unwrap() },
            accumulation: NonZeroUsize::MIN,
            fake_share: Fraction::literal(0.5),
            dropout: Fraction::default(),
            augment: Fraction::default(),
            discriminator: Discriminator::default(),
            generator: OptimizerConfig::default(),
            fake: OptimizerConfig::default(),
            ema: EmaConfig::default(),
            max_skipped: 20,
            log: LogConfig::default(),
            phase: vec![Phase::default()],
        }
    }
}

/// Which head turns the fake score's encoder into a log-ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discriminator {
    /// The mean of the encoder's last activation: no parameters of its own (SiDA, Uni-Instruct).
    Bottleneck,
    /// A small head on that activation, told the noise level and the class.
    #[default]
    Learned,
}

/// Moving average of the generator's weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// Half-life, in images.
    pub half_life: Positive,
    /// The half-life is at most this share of the images shown so far (EDM's ramp-up).
    pub ramp: Positive,
}

impl Default for EmaConfig {
    /// EDM's and SiD's values: half a million images, ramp-up of five per cent.
    fn default() -> Self {
        Self { half_life: Positive::literal(500e3), ramp: Positive::literal(0.05) }
    }
}

/// How often what is written, in images shown to the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A line of statistics.
    pub tick: u64,
    /// A grid of samples; 0 for none.
    pub samples: u64,
    /// A checkpoint; one is always written at the end and when interrupted.
    pub checkpoint: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { tick: 2_000, samples: 20_000, checkpoint: 20_000 }
    }
}

impl Config {
    /// Parses a configuration; `name` is the file it came from, for errors. Each override is
    /// `key.path=value`, the value written as in TOML, or bare where it is a string.
    ///
    /// # Errors
    ///
    /// If the text or an override is not valid; the source shows the line.
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, Error> {
        parse_prepared(name, text, overrides, |table| {
            // A file without phases has one, the default: overrides may name it.
            let one = || toml::Value::Array(vec![toml::Value::Table(toml::Table::new())]);
            table.entry("phase").or_insert_with(one);
        })
    }

    /// The configuration in full, every default spelled out.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration is plain data")
    }

    /// A hash of everything that decides the run's numbers: not of how often it logs.
    pub fn fingerprint(&self) -> String {
        let numbers = Self { log: LogConfig::default(), max_skipped: 0, ..self.clone() };
        blake3::hash(numbers.to_toml().as_bytes()).to_hex()[..16].to_owned()
    }

    /// Images in one update.
    pub fn images_per_update(&self) -> u64 {
        (self.batch.get() as u64).saturating_mul(self.accumulation.get() as u64)
    }

    /// Length of the run, in images.
    pub fn images(&self) -> u64 {
        self.phase.iter().fold(0, |sum, phase| sum.saturating_add(phase.images))
    }

    /// The phase at this progress, and where it ends; the last one once the run is over.
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

    /// The run cut down to `updates` updates of every phase, of two passes of two images at most: a
    /// smoke test of all that it does.
    pub fn smoke(mut self, updates: u64) -> Self {
        const FEW: NonZeroUsize = NonZeroUsize::new(2).unwrap();
        (self.batch, self.accumulation) = (self.batch.min(FEW), self.accumulation.min(FEW));
        let images = self.images_per_update().saturating_mul(updates);
        for phase in &mut self.phase {
            phase.images = images;
        }
        self.log = LogConfig { tick: images, samples: images, checkpoint: images };
        // As few as a batch and the figures need.
        let least = self.batch.get().max(metrics::NEIGHBORS + 1);
        let samples = self.teacher_samples.get().min(least);
        self.teacher_samples = NonZeroUsize::new(samples).unwrap_or(NonZeroUsize::MIN);
        self
    }
}

/// Parses a configuration of any kind: see [`Config::parse`].
///
/// # Errors
///
/// If the text or an override is not valid.
pub fn parse<T: DeserializeOwned>(
    name: &str,
    text: &str,
    overrides: &[String],
) -> Result<T, Error> {
    parse_prepared(name, text, overrides, |_| ())
}

fn parse_prepared<T: DeserializeOwned>(
    name: &str,
    text: &str,
    overrides: &[String],
    prepare: impl FnOnce(&mut toml::Table),
) -> Result<T, Error> {
    let fault = |source| Error::Config { name: name.into(), source: Box::new(source) };
    if overrides.is_empty() {
        return toml::from_str(text).map_err(fault);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(fault)?;
    prepare(&mut table);
    for assignment in overrides {
        set(&mut table, assignment)?;
    }
    // Printed and parsed again, so that errors in overrides show a line as well.
    let text = toml::to_string(&table).map_err(|err| Error::unusable(name, err.to_string()))?;
    toml::from_str(&text).map_err(fault)
}

/// Applies one `key.path=value`; numbers in the path index arrays, as in `phase.0.images=1000`.
fn set(table: &mut toml::Table, assignment: &str) -> Result<(), Error> {
    let fault = |reason: &str| Error::unusable(format!("--set {assignment}"), reason);
    let (path, value) =
        assignment.split_once('=').ok_or_else(|| fault("expected key.path=value"))?;
    let value = parse_value(value);
    let mut keys = path.split('.').map(str::trim).peekable();
    let first = keys.next().unwrap_or_default();
    if first.is_empty() {
        return Err(fault("expected key.path=value"));
    }
    if keys.peek().is_none() {
        table.insert(first.into(), value);
        return Ok(());
    }
    let empty = || toml::Value::Table(toml::Table::new());
    let mut slot = table.entry(first).or_insert_with(empty);
    for key in keys {
        let inner = match slot {
            toml::Value::Table(table) => table.entry(key).or_insert_with(empty),
            toml::Value::Array(items) => key
                .parse()
                .ok()
                .and_then(|index: usize| items.get_mut(index))
                .ok_or_else(|| fault("no such element of the array; count from 0"))?,
            _ => return Err(fault("a part of the path is a value, not a table")),
        };
        slot = inner;
    }
    *slot = value;
    Ok(())
}

fn parse_value(text: &str) -> toml::Value {
    let text = text.trim();
    let parsed: Option<toml::Table> = toml::from_str(&format!("value = {text}")).ok();
    parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.into()))
}
