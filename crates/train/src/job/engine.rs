//! One update at a time: the fake score's steps, then the generator's.

use std::{collections::BTreeMap, time::Instant};

use candle_core::{DType, Device, Tensor};
use divergence::{Method, RatioState};
use models::{Conditioning, Denoiser, DropoutKey, generator::generate, params::ParamSet};

use crate::{
    Config, Error, TrainState, ema,
    optim::Gradients,
    source::Source,
    step::{
        Draw, FakeScore, Inputs, Players,
        fake::{Discrimination, Real, fake_terms},
        generator_terms,
    },
    streams::{Use, derived_seed},
};

/// One network seen twice: with its variables tracked, and frozen. Both share their weights.
pub struct Views<T: ?Sized> {
    /// Gradients reach the weights.
    pub tracked: Box<T>,
    /// The weights are constants.
    pub frozen: Box<T>,
}

/// All networks of a run, over the parameters of its state.
pub struct Networks {
    /// The teacher, frozen.
    pub teacher: Box<dyn Denoiser>,
    /// The generator.
    pub generator: Views<dyn Denoiser>,
    /// The generator under its averaged weights: what is evaluated and kept.
    pub average: Box<dyn Denoiser>,
    /// The fake score, and the discriminator on it.
    pub fake: Views<dyn FakeScore>,
    /// Standard deviation of the data, for the denoising loss.
    pub sigma_data: f64,
    /// Shape of one sample.
    pub sample: Vec<usize>,
}

/// Everything one update needs.
pub struct Engine {
    /// What to do.
    pub config: Config,
    /// The networks, over the parameters of `state`.
    pub networks: Networks,
    /// What an update changes.
    pub state: TrainState,
    /// Real images, labels and the teacher's samples.
    pub source: Source,
    /// Where it runs.
    pub device: Device,
    /// Number type of the networks.
    pub dtype: DType,
}

/// Quantities of one update, by name.
pub type Stats = BTreeMap<&'static str, f64>;

/// What became of an update.
#[derive(Debug)]
pub enum Outcome {
    /// It was applied.
    Applied(Stats),
    /// This quantity was not finite, and the step that it belongs to was not applied. Steps of the
    /// same update before it, those of the fake score, were.
    Skipped(&'static str),
}

/// Gradients of one network and the quantities seen on the way.
pub(crate) struct Pass {
    pub(crate) gradients: Gradients,
    pub(crate) head: Gradients,
    pub(crate) stats: Stats,
}

impl Engine {
    /// One update of everything that the current phase trains.
    ///
    /// # Errors
    ///
    /// If a network fails, or too many updates in a row were not finite.
    pub fn update(&mut self) -> Result<Outcome, Error> {
        let started = Instant::now();
        let outcome = self.try_update()?;
        let images = self.config.images_per_update();
        let seconds = started.elapsed().as_secs_f64();
        self.state.progress.record(&outcome, images, seconds, self.config.max_skipped)?;
        Ok(outcome)
    }

    fn try_update(&mut self) -> Result<Outcome, Error> {
        let images = self.state.progress.images;
        let (index, phase) = self.config.phase_at(images)?;
        let (method, train_generator) = (phase.method.clone(), phase.train_generator);
        let before = images.saturating_sub(self.config.images_per_update());
        if self.config.phase_at(before)?.0 != index {
            // Another method's weights say nothing of this one's.
            self.state.ratio = RatioState::default();
        }
        let mut stats = Stats::new();
        let fake_updates = if method.needs_fake_score() { method.fake_updates.get() } else { 0 };
        for _ in 0..fake_updates {
            match self.fake_update(&method)? {
                Outcome::Applied(fake) => stats.extend(fake),
                skipped => return Ok(skipped),
            }
        }
        if train_generator {
            match self.generator_update(&method)? {
                Outcome::Applied(generator) => stats.extend(generator),
                skipped => return Ok(skipped),
            }
        }
        Ok(Outcome::Applied(stats))
    }

    /// One update of the fake score, and of the discriminator where the method needs one.
    fn fake_update(&mut self, method: &Method) -> Result<Outcome, Error> {
        let mut pass = Pass::new();
        let mut ratio_images = self.state.progress.fake_images;
        for _ in 0..self.config.accumulation.get() {
            self.fake_backward(method, ratio_images, &mut pass)?;
            ratio_images += self.config.batch.get() as u64;
        }
        self.state.progress.fake_images = ratio_images;
        pass.norm("Norm/fake")?;
        if let Some(what) = pass.non_finite() {
            return Ok(Outcome::Skipped(what));
        }
        let images = self.state.progress.fake_images;
        self.state.fake.update(&self.config.fake, &pass.gradients, images)?;
        if let Some(head) = &mut self.state.discriminator {
            head.update(&self.config.fake, &pass.head, images)?;
        }
        Ok(Outcome::Applied(pass.stats))
    }

    fn fake_backward(&self, method: &Method, position: u64, pass: &mut Pass) -> Result<(), Error> {
        let (config, networks) = (&self.config, &self.networks);
        let draw = self.draw(position);
        let cond = Conditioning::labels(self.source.labels(&draw, Use::FakeLabel)?);
        let inputs = Inputs {
            z: draw.normal(Use::FakeLatent)?,
            sigma: draw.sigma(
                Use::FakeSigma,
                &method.fake_sigma_law,
                Some((config.fake_share.get(), &method.sigma_law)),
            )?,
            noise: draw.normal(Use::FakeNoise)?,
            cond,
        };
        let generator = networks.generator.frozen.as_ref();
        let x0 = generate(generator, &inputs.z, method.sigma_init, &inputs.cond)?;
        let real = match method.needs_discriminator() {
            true => Some(self.real(&draw)?),
            false => None,
        };
        let (x0, real, inputs) = self.augmented(&draw, x0, real, inputs)?;
        let adversarial = method.adversarial.as_ref();
        let discrimination = real.as_ref().map(|real| Discrimination { real, adversarial });
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
        }
        let head = self.state.discriminator.as_ref().map(|head| &head.params);
        self.backward(&terms.total()?, &self.state.fake.params, head, pass)
    }

    /// One update of the generator and of its average.
    pub(crate) fn generator_update(&mut self, method: &Method) -> Result<Outcome, Error> {
        let mut pass = Pass::new();
        // The running statistics of the ratio change only with the update.
        let mut ratio = self.state.ratio.clone();
        let mut position = self.state.progress.images;
        for _ in 0..self.config.accumulation.get() {
            let draw = self.draw(position);
            let inputs = Inputs {
                z: draw.normal(Use::GeneratorLatent)?,
                sigma: draw.sigma(Use::GeneratorSigma, &method.sigma_law, None)?,
                noise: draw.normal(Use::GeneratorNoise)?,
                cond: Conditioning::labels(self.source.labels(&draw, Use::GeneratorLabel)?),
            };
            let pairs = match method.regression {
                Some(_) => Some(self.source.pairs(&draw)?),
                None => None,
            };
            let players = Players {
                generator: self.networks.generator.tracked.as_ref(),
                teacher: self.networks.teacher.as_ref(),
                fake: self.networks.fake.frozen.as_ref(),
            };
            let terms = generator_terms(&players, method, &inputs, pairs.as_ref(), &mut ratio)?;
            pass.mean("Loss/generator", &terms.surrogate)?;
            pass.mean("Gap/rms", &terms.gap)?;
            for (name, part) in
                [("Loss/adversarial", &terms.adversarial), ("Loss/regression", &terms.regression)]
            {
                if let Some(part) = part {
                    pass.mean(name, part)?;
                }
            }
            if let Some(monitor) = &terms.monitor {
                // The mean itself overflows where a logit is large, which the clamp makes harmless.
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
        self.state.ratio = ratio;
        let images = position;
        self.state.generator.update(&self.config.generator, &pass.gradients, images)?;
        let beta = ema::decay(&self.config.ema, images, self.config.images_per_update());
        ema::update(&self.state.ema, &self.state.generator.params, beta)?;
        Ok(Outcome::Applied(pass.stats))
    }

    /// Back-propagates the mean of `[B]` losses over the whole update.
    fn backward(
        &self,
        losses: &Tensor,
        params: &ParamSet,
        head: Option<&ParamSet>,
        pass: &mut Pass,
    ) -> Result<(), Error> {
        let loss = (losses.mean_all()? / self.config.accumulation.get() as f64)?;
        let mut store = models::backward(&loss)?;
        pass.gradients.accumulate(params, &mut store)?;
        if let Some(head) = head {
            pass.head.accumulate(head, &mut store)?;
        }
        Ok(())
    }

    fn draw(&self, position: u64) -> Draw<'_> {
        Draw {
            seed: self.config.seed,
            position,
            batch: self.config.batch.get(),
            sample: &self.networks.sample,
            dtype: self.dtype,
            device: &self.device,
        }
    }

    fn real(&self, draw: &Draw<'_>) -> Result<Real, Error> {
        let (images, labels) = self.source.real(draw)?;
        Ok(Real {
            images: images.to_dtype(self.dtype)?,
            noise: draw.normal(Use::RealNoise)?,
            cond: Conditioning::labels(labels),
        })
    }

    /// What the fake score is trained on, augmented and with dropout where configured.
    fn augmented(
        &self,
        draw: &Draw<'_>,
        mut x0: Tensor,
        mut real: Option<Real>,
        mut inputs: Inputs,
    ) -> Result<(Tensor, Option<Real>, Inputs), Error> {
        let config = &self.config;
        if 0.0 < config.augment.get() {
            let seed = derived_seed(config.seed, Use::Augment);
            let pipe = data::augment::AugmentPipe::edm(config.augment.get());
            // Fake and real images are augmented alike: both read the same streams.
            let (images, parameters) = pipe.apply(&x0, seed, draw.position)?;
            (x0, inputs.cond.augment) = (images, Some(parameters));
            if let Some(real) = &mut real {
                let (images, parameters) = pipe.apply(&real.images, seed, draw.position)?;
                (real.images, real.cond.augment) = (images, Some(parameters));
            }
        }
        if 0.0 < config.dropout.get() {
            let seed = derived_seed(config.seed, Use::Dropout);
            let key = Some(DropoutKey { seed, position: draw.position });
            inputs.cond.dropout = key;
            if let Some(real) = &mut real {
                real.cond.dropout = key;
            }
        }
        Ok((x0, real, inputs))
    }
}

impl Pass {
    pub(crate) fn new() -> Self {
        Self { gradients: Gradients::default(), head: Gradients::default(), stats: Stats::new() }
    }

    /// Records the mean of `[B]` values; over several forward passes, that of the last.
    pub(crate) fn mean(&mut self, name: &'static str, values: &Tensor) -> Result<(), Error> {
        // Not every device has f64.
        let mean = values.detach().mean_all()?.to_device(&Device::Cpu)?;
        self.add(name, mean.to_dtype(DType::F64)?.to_scalar::<f64>()?);
        Ok(())
    }

    /// Records a quantity. One that is not finite is never overwritten.
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        let slot = self.stats.entry(name).or_insert(value);
        if slot.is_finite() {
            *slot = value;
        }
    }

    pub(crate) fn norm(&mut self, name: &'static str) -> Result<(), Error> {
        self.add(name, self.gradients.norm()?.hypot(self.head.norm()?));
        Ok(())
    }

    /// The first quantity that is not finite, if any.
    pub(crate) fn non_finite(&self) -> Option<&'static str> {
        self.stats.iter().find(|(_, value)| !value.is_finite()).map(|(name, _)| *name)
    }
}
