//! Images from a network: a generator, or a teacher with Heun's sampler.
//!
//! A [`SampleSpec`] fixes latents and classes, a [`Sampler`] turns them into images. Samplers that
//! share a spec start from the same noise, so their images can be compared one by one. An image
//! depends on the seed and on its position only, not on the batch that it was computed in.

use candle_core::{Device, Tensor};
use kernels::noise::NoiseStream;

use crate::{
    Conditioning, Denoiser, Network, NetworkConfig, NetworkFile, Result, Role,
    edm::sampler::{SamplerConfig, sample, stream_noise},
    generator::StepSchedule,
    labels::one_hot,
};

/// Number of the noise stream that latents are read from.
pub const LATENT_STREAM: u32 = 16;
/// Number of the noise stream of stochastic samplers.
pub const CHURN_STREAM: u32 = 19;

/// Number of the noise stream between the steps of a generator.
pub const STEP_NOISE_STREAM: u32 = 27;

/// Images between the noise of two sampler steps: more than any spec of a seed has, so that noise
/// of different steps shares no position.
const POSITIONS: u64 = 1 << 32;

/// Largest number of images of a spec. A larger number is more likely a typing error than a wish, and
/// its classes alone would fill the memory.
pub const MAX_COUNT: usize = 1 << 24;

/// Latents and classes of a set of images: equal for every sampler that it is given to.
#[derive(Clone, Debug)]
pub struct SampleSpec {
    /// Seed of the latents.
    pub seed: u64,
    /// Position of the first image in the seed's stream. Other positions give other latents.
    pub first: usize,
    /// Number of images.
    pub count: usize,
    /// Images in one forward pass.
    pub batch: usize,
    /// Shape of one image, `[C, H, W]`.
    pub shape: Vec<usize>,
    /// Length of a label; 0 for an unconditional network.
    pub label_dim: usize,
    /// Class of every image; without it, image `i` has class `i mod label_dim`.
    pub class: Option<u32>,
    /// Device of the networks.
    pub device: Device,
}

impl SampleSpec {
    /// The first `count` images of seed 0, in batches of 64, with all classes.
    pub fn new(
        shape: impl Into<Vec<usize>>,
        label_dim: usize,
        count: usize,
        device: &Device,
    ) -> Self {
        Self {
            seed: 0,
            first: 0,
            count,
            batch: 64,
            shape: shape.into(),
            label_dim,
            class: None,
            device: device.clone(),
        }
    }

    /// Classes of the images; empty for an unconditional network.
    pub fn classes(&self) -> Vec<u32> {
        match (self.label_dim, self.class) {
            (0, _) => Vec::new(),
            (_, Some(class)) => vec![class; self.count],
            (k, None) => (self.first..self.first + self.count).map(|i| (i % k) as u32).collect(),
        }
    }

    /// Images `start..end` of this spec, `[B, C, H, W]` in [-1, 1].
    ///
    /// # Errors
    ///
    /// If the network fails, or a class is not below `label_dim`.
    ///
    /// # Panics
    ///
    /// If `start..end` is not a range of `0..count`.
    pub fn images(
        &self,
        sampler: Sampler<'_>,
        start: usize,
        end: usize,
    ) -> candle_core::Result<Tensor> {
        let shape = [&[end - start], self.shape.as_slice()].concat();
        let position = (self.first + start) as u64;
        let latents = NoiseStream::new(self.seed, LATENT_STREAM);
        let z = latents.normal_tensor(position, shape, &self.device)?;
        let labels = match self.label_dim {
            0 => None,
            k => Some(one_hot(&self.classes()[start..end], k, &self.device)?),
        };
        let cond = Conditioning::labels(labels);
        let images = match sampler {
            Sampler::Generator { generator, schedule, steps } => {
                let stream = NoiseStream::new(self.seed, STEP_NOISE_STREAM);
                let mut noise = stream_noise(stream, position, POSITIONS, &self.device);
                let mut noise = |step: usize| noise(step, z.dims());
                schedule.generate(generator, &z, steps, &mut noise, &cond)?
            }
            Sampler::Heun { teacher, steps } => {
                let churn = NoiseStream::new(self.seed, CHURN_STREAM);
                let mut noise = stream_noise(churn, position, POSITIONS, &self.device);
                sample(teacher, &SamplerConfig::heun(steps), &z, &cond, &mut noise)?
            }
        };
        Ok(images.detach())
    }

    /// All images, one batch after the other.
    pub fn batches<'a>(
        &'a self,
        sampler: Sampler<'a>,
    ) -> impl Iterator<Item = candle_core::Result<Tensor>> + 'a {
        let batch = self.batch.max(1);
        (0..self.count)
            .step_by(batch)
            .map(move |start| self.images(sampler, start, (start + batch).min(self.count)))
    }
}

/// A network with the method that samples from it.
#[derive(Clone, Copy)]
pub enum Sampler<'a> {
    /// A generator.
    Generator {
        /// The network.
        generator: &'a dyn Denoiser,
        /// Noise levels of the steps that it was trained for.
        schedule: StepSchedule,
        /// Steps of an image, at most the schedule's; each is a network evaluation.
        steps: usize,
    },
    /// A diffusion model with Heun's deterministic sampler.
    Heun {
        /// The network.
        teacher: &'a dyn Denoiser,
        /// Steps; one image takes `2 · steps − 1` network evaluations.
        steps: usize,
    },
}

impl<'a> Sampler<'a> {
    /// A generator that takes all steps of its schedule.
    pub fn generator(generator: &'a dyn Denoiser, schedule: StepSchedule) -> Self {
        Self::Generator { generator, schedule, steps: schedule.steps }
    }

    /// Network evaluations per image.
    pub fn evaluations(&self) -> usize {
        match self {
            Self::Generator { steps, .. } => *steps,
            Self::Heun { steps, .. } => SamplerConfig::heun(*steps).evaluations(),
        }
    }
}

/// A network of a file, ready to sample from.
pub struct Model {
    /// Kind and sizes of the network.
    pub config: NetworkConfig,
    /// Steps of an image: of a teacher's sampler, or of a generator, at most as many as it was trained for.
    pub steps: usize,
    network: Network,
    role: Role,
    device: Device,
}

/// Steps of a teacher's sampler: 35 evaluations, EDM's choice for images of 32x32.
const DEFAULT_STEPS: usize = 18;

impl Model {
    /// The network of `file` on `device`, with frozen weights. A teacher samples in 18 steps, a generator
    /// in all that it was trained for.
    ///
    /// # Errors
    ///
    /// If the configuration is not valid, or the device cannot hold the weights.
    pub fn new(file: NetworkFile, device: &Device) -> Result<Self> {
        let network = file.config.build(&file.params.to_device(device)?.frozen())?;
        let device = device.clone();
        let steps = match file.role {
            Role::Teacher => DEFAULT_STEPS,
            Role::Generator(schedule) => schedule.steps,
        };
        Ok(Self { config: file.config, steps, network, role: file.role, device })
    }

    /// The network itself.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Noise levels of a generator's steps; `None` for a teacher.
    pub fn schedule(&self) -> Option<StepSchedule> {
        match self.role {
            Role::Teacher => None,
            Role::Generator(schedule) => Some(schedule),
        }
    }

    /// Shape of one image, `[C, H, W]`.
    pub fn image_shape(&self) -> [usize; 3] {
        [self.config.img_channels, self.config.img_resolution, self.config.img_resolution]
    }

    /// The network with its method of sampling.
    pub fn sampler(&self) -> Sampler<'_> {
        match self.role {
            Role::Generator(schedule) => {
                Sampler::Generator { generator: &self.network, schedule, steps: self.steps }
            }
            Role::Teacher => Sampler::Heun { teacher: &self.network, steps: self.steps },
        }
    }

    /// [`SampleSpec::new`] for this network.
    pub fn spec(&self, count: usize) -> SampleSpec {
        SampleSpec::new(self.image_shape(), self.config.label_dim, count, &self.device)
    }
}

#[cfg(test)]
mod tests;
