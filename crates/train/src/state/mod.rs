//! Everything a run changes, and nothing else.

pub mod checkpoint;
pub mod ema;
pub mod optim;

use divergence::RatioState;
use models::params::ParamSet;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    checkpoint::{Keep, Parts},
    config::EmaConfig,
    ema,
    engine::Outcome,
    optim::{Gradients, OptimizerConfig, Trained},
};

/// The state of a distillation: with the configuration it decides all that follows.
pub struct TrainState {
    /// Counters; every random number is read off at one of them.
    pub progress: Progress,
    /// The one-step generator.
    pub generator: Trained,
    /// The denoiser of the generator's law.
    pub fake: Trained,
    /// The discriminator's own parameters, where it has some.
    pub discriminator: Option<Trained>,
    /// The average of the generator's weights.
    pub ema: ParamSet,
    /// Running statistics of the ratio estimate.
    pub ratio: RatioState,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Images shown to the network that the run is about.
    pub images: u64,
    /// Images shown to the fake score.
    pub fake_images: u64,
    /// Updates that were skipped for a non-finite loss or gradient, in all.
    pub skipped: u64,
    /// The same, in a row, up to now.
    pub skipped_in_a_row: u32,
    /// Seconds spent in updates, over all sessions of the run.
    pub seconds: f64,
}

impl Progress {
    /// Counts one update of `images` images.
    ///
    /// # Errors
    ///
    /// If more than `max_skipped` updates in a row were skipped.
    pub fn record(
        &mut self,
        outcome: &Outcome,
        images: u64,
        seconds: f64,
        max_skipped: u32,
    ) -> Result<(), Error> {
        self.images += images;
        self.seconds += seconds;
        let Outcome::Skipped(what) = outcome else {
            self.skipped_in_a_row = 0;
            return Ok(());
        };
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        if max_skipped < self.skipped_in_a_row {
            let (images, times) = (self.images, self.skipped_in_a_row);
            return Err(Error::NonFinite { images, what, times });
        }
        Ok(())
    }
}

impl TrainState {
    /// The state before the first update. The average starts as a copy of the generator.
    ///
    /// # Errors
    ///
    /// If the device cannot hold the moments.
    pub fn new(
        generator: ParamSet,
        fake: ParamSet,
        discriminator: Option<ParamSet>,
        ratio: RatioState,
    ) -> Result<Self, Error> {
        Ok(Self {
            progress: Progress::default(),
            ema: generator.deep_copy()?,
            generator: Trained::new(generator)?,
            fake: Trained::new(fake)?,
            discriminator: discriminator.map(Trained::new).transpose()?,
            ratio,
        })
    }
}

impl Keep for TrainState {
    type Counters = (Progress, RatioState);

    fn parts(&mut self) -> Parts<'_> {
        let mut trained = vec![("generator", &mut self.generator), ("fake", &mut self.fake)];
        trained.extend(self.discriminator.as_mut().map(|head| ("discriminator", head)));
        Parts { trained, averages: vec![("ema", &self.ema)] }
    }

    fn counters(&self) -> Self::Counters {
        (self.progress, self.ratio.clone())
    }

    fn set_counters(&mut self, (progress, ratio): Self::Counters) {
        (self.progress, self.ratio) = (progress, ratio);
    }
}

/// What an update changes where one network is trained on images: a teacher, a feature network.
pub struct AveragedState {
    /// What its tensors are called in a checkpoint.
    pub name: &'static str,
    /// Counters.
    pub progress: Progress,
    /// The network.
    pub trained: Trained,
    /// The average of its weights: what is kept.
    pub ema: ParamSet,
}

impl AveragedState {
    /// The state before the first update. The average starts as a copy of the network.
    ///
    /// # Errors
    ///
    /// If the device cannot hold average and moments.
    pub fn new(name: &'static str, params: ParamSet) -> Result<Self, Error> {
        let ema = params.deep_copy()?;
        Ok(Self { name, progress: Progress::default(), trained: Trained::new(params)?, ema })
    }

    /// One update of network and average by the gradients of `batch` images, after which `images`
    /// have been shown.
    ///
    /// # Errors
    ///
    /// If a gradient does not fit its parameter.
    pub fn update(
        &mut self,
        optimizer: &OptimizerConfig,
        average: &EmaConfig,
        gradients: &Gradients,
        images: u64,
        batch: u64,
    ) -> Result<(), Error> {
        self.trained.update(optimizer, gradients, images)?;
        let beta = ema::decay(average, images, batch);
        Ok(ema::update(&self.ema, &self.trained.params, beta)?)
    }
}

impl Keep for AveragedState {
    type Counters = Progress;

    fn parts(&mut self) -> Parts<'_> {
        Parts { trained: vec![(self.name, &mut self.trained)], averages: vec![("ema", &self.ema)] }
    }

    fn counters(&self) -> Progress {
        self.progress
    }

    fn set_counters(&mut self, progress: Progress) {
        self.progress = progress;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_when_too_many_updates_in_a_row_were_skipped() {
        let mut progress = Progress::default();
        let skipped = Outcome::Skipped("Loss/fake");
        let applied = Outcome::Applied(Default::default());
        for outcome in [&skipped, &skipped, &applied, &skipped, &skipped] {
            progress.record(outcome, 10, 0.5, 2).unwrap();
        }
        let expected = Progress {
            images: 50,
            skipped: 4,
            skipped_in_a_row: 2,
            seconds: 2.5,
            ..Progress::default()
        };
        assert_eq!(progress, expected);
        let Err(Error::NonFinite { images: 60, what: "Loss/fake", times: 3 }) =
            progress.record(&skipped, 10, 0.5, 2)
        else {
            panic!("the third skip in a row must end the run");
        };
    }
}
