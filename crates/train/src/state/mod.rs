//! Everything that a run changes: counters, parameters, moments, averages, and their file.

pub(crate) mod checkpoint;
pub(crate) mod ema;
mod optim;
mod progress;
mod queue;

use divergence::RatioState;
use models::params::ParamSet;

use crate::{
    Error,
    config::{EmaConfig, OptimizerConfig},
};
use checkpoint::{Average, Checkpointed, StateTensors};

pub use checkpoint::latest as latest_checkpoint;
pub use optim::{Gradients, TrainedParams};
pub use progress::{Outcome, Progress, Stats};
pub use queue::FeatureQueue;

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
    /// Moving averages of the fake score, if the run evaluates them.
    pub fake_average: Option<FakeAverage>,
    /// Running statistics of the ratio estimate.
    pub ratio: RatioState,
    /// Features of the generator's latest images, if a method has a Fréchet distance of them.
    pub features: Option<FeatureQueue>,
}

/// Moving averages of the fake score's weights and of its discriminator's.
pub struct FakeAverage {
    /// Average of the network.
    pub network: ParamSet,
    /// Average of the discriminator's own head, if it has one.
    pub head: Option<ParamSet>,
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
            fake_average: None,
            ratio: RatioState::default(),
            features: None,
        })
    }

    /// The same state with averages of the fake score, which start as copies of its weights. A run whose
    /// configuration has the key `fake_ema` needs them.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn with_fake_average(self) -> Result<Self, Error> {
        let copy = |set: &TrainedParams| set.params.deep_copy();
        let head = self.discriminator.as_ref().map(copy).transpose()?;
        let fake_average = Some(FakeAverage { network: copy(&self.fake)?, head });
        Ok(Self { fake_average, ..self })
    }

    /// Moves the averages of the fake score, if there are any, toward its weights.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub(crate) fn update_fake_average(&self, beta: f64) -> Result<(), Error> {
        let Some(average) = &self.fake_average else { return Ok(()) };
        ema::update(&average.network, &self.fake.params, beta)?;
        if let (Some(head), Some(trained)) = (&average.head, &self.discriminator) {
            ema::update(head, &trained.params, beta)?;
        }
        Ok(())
    }
}

impl Checkpointed for TrainState {
    type Counters = (Progress, RatioState);

    fn tensors(&mut self) -> StateTensors<'_> {
        let mut trained = vec![("generator", &mut self.generator), ("fake", &mut self.fake)];
        trained.extend(self.discriminator.as_mut().map(|head| ("discriminator", head)));
        let mut averages = vec![Average { name: "ema", params: &self.ema, starts_from: None }];
        if let Some(average) = &self.fake_average {
            let starts_from = Some("fake");
            averages.push(Average { name: "fake_ema", params: &average.network, starts_from });
            let head = average.head.as_ref();
            averages.extend(head.map(|params| Average {
                name: "discriminator_ema",
                params,
                starts_from: Some("discriminator"),
            }));
        }
        let queue = self.features.as_mut().map(|queue| ("features", queue));
        StateTensors { trained, averages, queue }
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
            averages: vec![Average { name: "ema", params: &self.ema, starts_from: None }],
            queue: None,
        }
    }

    fn counters(&self) -> Progress {
        self.progress
    }

    fn set_counters(&mut self, progress: Progress) {
        self.progress = progress;
    }
}
