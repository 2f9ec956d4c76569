//! The engine of a distillation: one update at a time, the fake score's steps before the generator's.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use divergence::{Method, RatioState};
use metrics::FrechetReference;
use models::{Conditioning, DropoutKey, params::ParamSet};

use super::{accumulation::Accumulation, networks::Networks};
use crate::{
    Config, Error,
    config::streams::{Use, derived_seed},
    source::Source,
    state::{Outcome, Stats, TrainState, ema},
    step::{
        AuxiliaryInputs, Discrimination, FrechetInputs, Inputs, Monitors, RandomInputs, RealBatch,
        StepNetworks, fake_terms, generator_terms, schedule, student_samples,
    },
};

/// A distillation: configuration, networks, state and data.
#[non_exhaustive]
pub struct Engine {
    /// Configuration of the run.
    pub config: Config,
    /// The networks, over the parameters of `state`.
    pub networks: Networks,
    /// Everything that an update changes.
    pub state: TrainState,
    /// Real images, labels and the teacher's samples.
    pub source: Source,
    /// Device of all tensors.
    pub device: Device,
    /// Data type of the networks.
    pub dtype: DType,
    /// Monitors of the estimates since they were last taken.
    pub monitors: Monitors,
    /// Features of the real images, if a method has a Fréchet distance from them.
    pub(super) reference: Option<FrechetReference>,
}

impl Engine {
    /// Runs one update of all networks that the current phase trains, and counts it.
    ///
    /// # Errors
    ///
    /// If a network fails, or too many updates in a row were not finite.
    pub fn update(&mut self) -> Result<Outcome, Error> {
        let started = Instant::now();
        let outcome = self.try_update()?;
        self.count(&outcome, started.elapsed().as_secs_f64())?;
        Ok(outcome)
    }

    /// Counts an update that took `seconds`: its images, and whether it was skipped.
    ///
    /// [`Self::update`] does so itself. Call it after each update that you compose of
    /// [`Self::update_fake_score`] and [`Self::update_generator`]; otherwise the next one repeats the
    /// same random inputs.
    ///
    /// # Errors
    ///
    /// If too many updates in a row were not finite.
    pub fn count(&mut self, outcome: &Outcome, seconds: f64) -> Result<(), Error> {
        let images = self.config.images_per_update();
        self.state.progress.record(outcome, images, seconds, self.config.max_skipped)
    }

    fn try_update(&mut self) -> Result<Outcome, Error> {
        let images = self.state.progress.images;
        let (index, phase) = self.config.phase_at(images)?;
        let (method, train_generator) = (phase.method.clone(), phase.train_generator);
        let before = images.saturating_sub(self.config.images_per_update());
        if self.config.phase_at(before)?.0 != index {
            // Statistics of another method's weights do not apply to this one's.
            self.state.ratio = RatioState::default();
        }
        let mut stats = Stats::new();
        let trains_fake = method.needs_fake_score() && self.has_fake_parameters();
        let fake_updates = if trains_fake { method.fake_updates.get() } else { 0 };
        for _ in 0..fake_updates {
            match self.update_fake_score(&method)? {
                Outcome::Applied(fake) => stats.extend(fake),
                skipped => return Ok(skipped),
            }
        }
        if train_generator {
            match self.update_generator(&method)? {
                Outcome::Applied(generator) => stats.extend(generator),
                skipped => return Ok(skipped),
            }
        }
        Ok(Outcome::Applied(stats))
    }

    /// Tests for parameters that the fake score's step trains; a closed form has none.
    pub(super) fn has_fake_parameters(&self) -> bool {
        !self.state.fake.params.vars().is_empty() || self.state.discriminator.is_some()
    }

    /// Tests for a discriminator that the fake score's step trains.
    pub(super) fn trains_discriminator(&self, method: &Method) -> bool {
        method.needs_discriminator() && self.networks.fake.tracked.trains_log_ratio()
    }

    /// Updates the fake score, and the discriminator if the method needs one. Reads random inputs at
    /// the position `state.progress.fake_images` and advances it.
    ///
    /// # Errors
    ///
    /// If a network fails, or images that the method needs are missing.
    pub fn update_fake_score(&mut self, method: &Method) -> Result<Outcome, Error> {
        let mut pass = Accumulation::new();
        let mut monitors = self.monitors.clone();
        monitors.follow(method);
        let mut ratio = self.state.ratio.clone();
        let mut images = self.state.progress.fake_images;
        for _ in 0..self.config.accumulation.get() {
            self.fake_backward(method, images, &mut pass, &mut monitors, &mut ratio)?;
            images += self.config.batch.get() as u64;
        }
        // Counted even if the step is skipped, so that the next one reads other random inputs.
        self.state.progress.fake_images = images;
        pass.norm("Norm/fake")?;
        if let Some(what) = pass.non_finite() {
            return Ok(Outcome::Skipped(what));
        }
        let optimizer = self.config.fake.cooled(self.images_left());
        self.state.fake.update(&optimizer, &pass.gradients, images)?;
        if let Some(head) = &mut self.state.discriminator {
            head.update(&optimizer, &pass.head, images)?;
        }
        if let Some(average) = &self.config.fake_ema {
            let beta = ema::decay(average, images, self.config.images_per_update());
            self.state.update_fake_average(beta)?;
        }
        (self.state.ratio, self.monitors) = (ratio, monitors);
        Ok(Outcome::Applied(pass.stats))
    }

    fn fake_backward(
        &self,
        method: &Method,
        position: u64,
        pass: &mut Accumulation,
        monitors: &mut Monitors,
        ratio: &mut RatioState,
    ) -> Result<(), Error> {
        let (config, networks) = (&self.config, &self.networks);
        let random = self.random_inputs(position, config.batch.get());
        let cond = Conditioning::labels(self.source.labels(&random, Use::FakeLabel)?);
        let inputs = Inputs {
            z: random.normal(Use::FakeLatent)?,
            sigma: random.sigma(
                Use::FakeSigma,
                &method.fake_sigma_law,
                Some((config.fake_share.get(), &method.sigma_law)),
            )?,
            noise: random.normal(Use::FakeNoise)?,
            cond,
            seed: config.seed,
            position,
            update: self.updates(),
            steps: random
                .steps([Use::FakeStep, Use::FakeStepNoise], method.steps.get() as usize)?,
        };
        let generator = networks.generator.frozen.as_ref();
        let Inputs { z, steps, cond, .. } = &inputs;
        let x0 = student_samples(generator, generator, schedule(method), z, steps, cond)?;
        let calibrates = self.calibrates(method);
        let discriminates = self.trains_discriminator(method);
        let real = if discriminates || calibrates { Some(self.real(&random)?) } else { None };
        let (x0, real, inputs) = self.augmented(&random, x0, real, inputs)?;
        let targets = match &real {
            Some(real) => self.path_targets(method, &x0, &inputs, real)?,
            None => None,
        };
        if let Some(real) = real.as_ref().filter(|_| calibrates) {
            self.calibrate(method, &x0, &inputs, real, ratio)?;
        }
        let adversarial = method.adversarial.as_ref();
        let discrimination = real.as_ref().filter(|_| discriminates).map(|real| Discrimination {
            real,
            adversarial,
            targets: targets.as_ref(),
        });
        let fake = networks.fake.tracked.as_ref();
        let (weighting, sigma_data) = (method.fake_weighting, networks.sigma_data);
        let terms = fake_terms(fake, x0, &inputs, weighting, sigma_data, discrimination)?;
        pass.mean("Loss/fake", &terms.denoising)?;
        if let Some(discriminator) = &terms.discriminator {
            pass.mean("Loss/discriminator", discriminator)?;
        }
        if let Some((on_fake, on_real)) = &terms.logits {
            pass.mean("Logits/fake", on_fake)?;
            pass.mean("Logits/real", on_real)?;
            monitors.add_logits(&inputs.sigma, on_fake, on_real)?;
        }
        let head = self.state.discriminator.as_ref().map(|head| &head.params);
        self.backward(&terms.total()?, &self.state.fake.params, head, pass)
    }

    /// Updates the generator and its average. Reads random inputs at the position
    /// `state.progress.images`, which [`Self::count`] advances.
    ///
    /// # Errors
    ///
    /// If a network fails, or images that the method needs are missing.
    pub fn update_generator(&mut self, method: &Method) -> Result<Outcome, Error> {
        let mut pass = Accumulation::new();
        // The running statistics of the ratio change only if the update is applied.
        let mut ratio = self.state.ratio.clone();
        let mut monitors = self.monitors.clone();
        monitors.follow(method);
        let mut position = self.state.progress.images;
        let mut features = Vec::new();
        for _ in 0..self.config.accumulation.get() {
            let random = self.random_inputs(position, self.config.batch.get());
            let inputs = Inputs {
                z: random.normal(Use::GeneratorLatent)?,
                sigma: random.sigma(Use::GeneratorSigma, &method.sigma_law, None)?,
                noise: random.normal(Use::GeneratorNoise)?,
                cond: Conditioning::labels(self.source.labels(&random, Use::GeneratorLabel)?),
                seed: self.config.seed,
                position,
                update: self.updates(),
                steps: random.steps(
                    [Use::GeneratorStep, Use::GeneratorStepNoise],
                    method.steps.get() as usize,
                )?,
            };
            let pairs = match method.regression {
                Some(_) => Some(self.source.pairs(&random)?),
                None => None,
            };
            let networks = StepNetworks {
                generator: self.networks.generator.tracked.as_ref(),
                frozen_generator: self.networks.generator.frozen.as_ref(),
                teacher: self.networks.teacher.as_ref(),
                fake: self.networks.evaluated_fake(),
                features: self.networks.features.as_deref(),
            };
            let frechet = self.reference.as_ref().zip(self.state.features.as_ref());
            let auxiliary = AuxiliaryInputs {
                pairs: pairs.as_ref(),
                frechet: frechet.map(|(reference, queue)| FrechetInputs { reference, queue }),
            };
            let terms = generator_terms(&networks, method, &inputs, auxiliary, &mut ratio)?;
            // A student that is one point is its own denoiser, without an error.
            if method.needs_fake_score() {
                monitors.add_errors(&inputs.sigma, &terms.errors)?;
            }
            if let Some(estimate) = &terms.log_ratio {
                monitors.add_log_ratios(&inputs.sigma, estimate)?;
            }
            pass.mean("Loss/generator", &terms.surrogate)?;
            pass.mean("Gap/rms", &terms.gap)?;
            for (name, part) in terms.auxiliary() {
                pass.mean(name, part)?;
            }
            features.extend(terms.features.clone());
            if let Some(monitor) = &terms.monitor {
                // Its logarithm, because the mean itself overflows for a large logit, harmless as that is
                // after the clamp.
                pass.add("Ratio/log_mean", monitor.log_mean_ratio);
                pass.add("Ratio/clamped", monitor.clamped);
                pass.add("Ratio/ess", monitor.effective_share);
            }
            self.backward(&terms.total()?, &self.state.generator.params, None, &mut pass)?;
            position += self.config.batch.get() as u64;
        }
        pass.norm("Norm/generator")?;
        if let Some(what) = pass.non_finite() {
            return Ok(Outcome::Skipped(what));
        }
        (self.state.ratio, self.monitors) = (ratio, monitors);
        if let Some(queue) = &mut self.state.features {
            features.iter().try_for_each(|rows| queue.push(rows))?;
        }
        let images = position;
        let optimizer = self.config.generator.cooled(self.images_left());
        self.state.generator.update(&optimizer, &pass.gradients, images)?;
        let beta = ema::decay(&self.config.ema, images, self.config.images_per_update());
        ema::update(&self.state.ema, &self.state.generator.params, beta)?;
        Ok(Outcome::Applied(pass.stats))
    }

    /// Images of the generator until the end of the run.
    fn images_left(&self) -> u64 {
        self.config.images().saturating_sub(self.state.progress.images)
    }

    /// Number of the generator's updates so far.
    fn updates(&self) -> u64 {
        self.state.progress.images / self.config.images_per_update()
    }

    /// Back-propagates the mean of `[B]` losses, divided by the number of passes of the update.
    fn backward(
        &self,
        losses: &Tensor,
        params: &ParamSet,
        head: Option<&ParamSet>,
        pass: &mut Accumulation,
    ) -> Result<(), Error> {
        let loss = (losses.mean_all()? / self.config.accumulation.get() as f64)?;
        let mut store = models::backward(&loss)?;
        pass.gradients.accumulate(params, &mut store)?;
        if let Some(head) = head {
            pass.head.accumulate(head, &mut store)?;
        }
        Ok(())
    }

    pub(super) fn random_inputs(&self, position: u64, batch: usize) -> RandomInputs<'_> {
        RandomInputs {
            seed: self.config.seed,
            position,
            batch,
            sample: &self.networks.sample,
            dtype: self.dtype,
            device: &self.device,
        }
    }

    pub(super) fn real(&self, random: &RandomInputs<'_>) -> Result<RealBatch, Error> {
        let (images, labels) = self.source.real(random)?;
        Ok(RealBatch {
            images: images.to_dtype(self.dtype)?,
            noise: random.normal(Use::RealNoise)?,
            cond: Conditioning::labels(labels),
        })
    }

    /// Inputs of the fake score's step, with augmentation and dropout as configured.
    fn augmented(
        &self,
        random: &RandomInputs<'_>,
        mut x0: Tensor,
        mut real: Option<RealBatch>,
        mut inputs: Inputs,
    ) -> Result<(Tensor, Option<RealBatch>, Inputs), Error> {
        let config = &self.config;
        if 0.0 < config.augment.get() {
            let seed = derived_seed(config.seed, Use::Augment);
            let pipe = data::augment::AugmentPipe::edm(config.augment.get());
            // Fake and real images are augmented alike: both read the same streams.
            let (images, parameters) = pipe.apply(&x0, seed, random.position)?;
            (x0, inputs.cond.augment) = (images, Some(parameters));
            if let Some(real) = &mut real {
                let (images, parameters) = pipe.apply(&real.images, seed, random.position)?;
                (real.images, real.cond.augment) = (images, Some(parameters));
            }
        }
        if 0.0 < config.dropout.get() {
            let seed = derived_seed(config.seed, Use::Dropout);
            let key = Some(DropoutKey { seed, position: random.position });
            inputs.cond.dropout = key;
            if let Some(real) = &mut real {
                real.cond.dropout = key;
            }
        }
        Ok((x0, real, inputs))
    }
}
