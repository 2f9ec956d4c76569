//! The engine as a job of the training loop.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use models::{
    generator::StepSchedule,
    sampling::{SampleSpec, Sampler},
};

use super::{engine::Engine, run::Job};
use crate::{
    Error,
    config::LogConfig,
    state::{
        Outcome, Progress,
        checkpoint::{self, RunIdentity},
    },
    step::{BinMonitor, schedule},
};

/// Number of images in a grid of samples.
const PREVIEW: usize = 50;

impl Engine {
    /// Noise levels of the generator's steps, the same in every phase.
    ///
    /// # Errors
    ///
    /// If the run has no phase.
    pub fn schedule(&self) -> Result<StepSchedule, Error> {
        Ok(schedule(&self.config.phase_at(0)?.1.method))
    }

    /// Sampler of the generator with its averaged weights.
    ///
    /// # Errors
    ///
    /// If the run has no phase.
    pub fn sampler(&self) -> Result<Sampler<'_>, Error> {
        let generator = self.networks.average.as_ref();
        Ok(Sampler::generator(generator, self.schedule()?))
    }
}

impl Job for Engine {
    fn progress(&self) -> Progress {
        self.state.progress
    }

    fn total(&self) -> u64 {
        self.config.images()
    }

    fn log(&self) -> LogConfig {
        self.config.log
    }

    fn phase(&self) -> Option<(usize, String)> {
        let (index, phase) = self.config.phase_at(self.state.progress.images).ok()?;
        let method = &phase.method;
        let trained = if phase.train_generator { "" } else { ", fake score alone" };
        Some((index + 1, format!("{} of {}{trained}", method.objective, method.divergence)))
    }

    fn update(&mut self) -> Result<Outcome, Error> {
        Engine::update(self)
    }

    fn take_monitors(&mut self) -> Vec<BinMonitor> {
        self.monitors.report()
    }

    fn samples(&self) -> Result<Option<Tensor>, Error> {
        let [_, _, _] = self.networks.sample[..] else { return Ok(None) };
        // At most as many as the run shows, for smoke tests, and in batches of its size.
        let count = PREVIEW.min(usize::try_from(self.config.images()).unwrap_or(PREVIEW));
        let (shape, label_dim) = (self.networks.sample.as_slice(), self.source.label_dim);
        let spec = SampleSpec {
            seed: self.config.seed,
            batch: self.config.batch.get(),
            ..SampleSpec::new(shape, label_dim, count, &self.device)
        };
        let batches = spec.batches(self.sampler()?).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Tensor::cat(&batches, 0)?))
    }

    fn save(&mut self, folder: &Path) -> Result<PathBuf, Error> {
        let (text, hash) = (self.config.to_toml(), self.config.fingerprint());
        let identity = RunIdentity { config: &text, fingerprint: &hash, earlier: None };
        checkpoint::save(folder, identity, self.state.progress.images, &mut self.state)
    }

    fn resume(&mut self, path: &Path) -> Result<(), Error> {
        let (text, hash) = (self.config.to_toml(), self.config.fingerprint());
        let without = self.config.fingerprint_without_fake_ema();
        let earlier = self.config.fake_ema.map(|_| without.as_str());
        let identity = RunIdentity { config: &text, fingerprint: &hash, earlier };
        checkpoint::load(path, identity, &mut self.state)
    }
}
