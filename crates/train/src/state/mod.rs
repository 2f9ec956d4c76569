//! Everything that a run changes: counters, parameters, moments, averages, and their file.

pub(crate) mod checkpoint;
pub(crate) mod ema;
mod optim;
mod progress;

use divergence::RatioState;
use models::params::ParamSet;

use crate::{
    Error,
    config::{EmaConfig, OptimizerConfig},
};
use checkpoint::{Checkpointed, StateTensors};

pub use checkpoint::latest as latest_checkpoint;
pub use optim::{Gradients, TrainedParams};
pub use progress::{Outcome, Progress, Stats};

/// State of a distillation. Together with the configuration it determines all further updates.
pub struct TrainState {
    /// Counters. Every random number is a function of the seed and one of them.
    pub progress: Progress,
    /// The one-step generator.
    pub generator: TrainedParams,
    /// The fake score: the denoiser of the generator's distribution. Empty if it is known in closed
    /// form.
    pub fake: TrainedParams,
    /// Parameters of the discriminator's own head, if it has one.
    pub discriminator: Option<TrainedParams>,
    /// Moving average of the generator's weights.
    pub ema: ParamSet,
    /// Running statistics of the ratio estimate.
    pub ratio: RatioState,
}

impl TrainState {
    /// The state before the first update. The average starts as a copy of the generator.
    ///
    /// `fake` may be empty ([`ParamSet::default`]) if the fake score is known in closed form, and
    /// `discriminator` is `None` if the log-ratio adds no parameters.
    ///
    /// # Errors
    ///
    /// If the device cannot hold the moments.
    pub fn new(
        generator: ParamSet,
        fake: ParamSet,
        discriminator: Option<ParamSet>,
    ) -> Result<Self, Error> {
        Ok(Self {
            progress: Progress::default(),
            ema: generator.deep_copy()?,
            generator: TrainedParams::new(generator)?,
            fake: TrainedParams::new(fake)?,
            discriminator: discriminator.map(TrainedParams::new).transpose()?,
            ratio: RatioState::default(),
        })
    }
}

impl Checkpointed for TrainState {
    type Counters = (Progress, RatioState);

    fn tensors(&mut self) -> StateTensors<'_> {
        let mut trained = vec![("generator", &mut self.generator), ("fake", &mut self.fake)];
        trained.extend(self.discriminator.as_mut().map(|head| ("discriminator", head)));
        StateTensors { trained, averages: vec![("ema", &self.ema)] }
    }

    fn counters(&self) -> Self::Counters {
        (self.progress, self.ratio.clone())
    }

    fn set_counters(&mut self, (progress, ratio): Self::Counters) {
        (self.progress, self.ratio) = (progress, ratio);
    }
}

/// State of the training of a single network on images: a teacher or a feature network.
pub struct AveragedState {
    /// Prefix of its tensors in a checkpoint.
    pub(crate) name: &'static str,
    /// Counters.
    pub progress: Progress,
    /// The network.
    pub trained: TrainedParams,
    /// Moving average of its weights, which is exported.
    pub ema: ParamSet,
}

impl AveragedState {
    /// The state before the first update. The average starts as a copy of the network.
    ///
    /// # Errors
    ///
    /// If the device cannot hold average and moments.
    pub(crate) fn new(name: &'static str, params: ParamSet) -> Result<Self, Error> {
        let ema = params.deep_copy()?;
        Ok(Self { name, progress: Progress::default(), trained: TrainedParams::new(params)?, ema })
    }

    /// Updates network and average with the gradients of `batch` images, after which `images` have
    /// been shown.
    ///
    /// # Errors
    ///
    /// If a gradient does not fit its parameter.
    pub(crate) fn update(
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

impl Checkpointed for AveragedState {
    type Counters = Progress;

    fn tensors(&mut self) -> StateTensors<'_> {
        StateTensors {
            trained: vec![(self.name, &mut self.trained)],
            averages: vec![("ema", &self.ema)],
        }
    }

    fn counters(&self) -> Progress {
        self.progress
    }

    fn set_counters(&mut self, progress: Progress) {
        self.progress = progress;
    }
}
