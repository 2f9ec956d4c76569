//! Random inputs of a step: a pure function of seed and position.

use candle_core::{DType, Device, Result, Tensor};
use divergence::SigmaDistribution;
use models::Conditioning;

use super::StepInputs;
use crate::config::streams::{Use, stream};

/// Generator of a step's random inputs, at one position of the run's streams.
#[derive(Clone, Copy, Debug)]
pub struct RandomInputs<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// Position of the batch's first sample.
    pub position: u64,
    /// Number of samples.
    pub batch: usize,
    /// Shape of one sample, `[C, H, W]` or `[N]`.
    pub sample: &'a [usize],
    /// Number type of the networks.
    pub dtype: DType,
    /// Device of the tensors.
    pub device: &'a Device,
}

/// The random part of one step's input.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Standard normal latents `[B, ...]`.
    pub z: Tensor,
    /// Noise levels `[B]`, data units.
    pub sigma: Tensor,
    /// Standard normal noise `[B, ...]`.
    pub noise: Tensor,
    /// Conditioning, the same for every network of the step.
    pub cond: Conditioning,
    /// Seed of the run, for noise that a step draws itself.
    pub seed: u64,
    /// Position of the batch's first sample in the streams of the run.
    pub position: u64,
    /// Number of the update.
    pub update: u64,
    /// Steps of the samples, for a generator of several.
    pub steps: StepInputs,
}

impl RandomInputs<'_> {
    /// Standard normal tensor `[B, ...]` for one use.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn normal(&self, of: Use) -> Result<Tensor> {
        let shape = [&[self.batch], self.sample].concat();
        stream(self.seed, of).normal_tensor(self.position, shape, self.device)?.to_dtype(self.dtype)
    }

    /// Steps of a generator's samples and the noise before them, for a generator of `steps` steps. The
    /// first use is of the steps' indices, the second of the noise.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn steps(&self, [index, noise]: [Use; 2], steps: usize) -> Result<StepInputs> {
        if steps == 1 {
            return Ok(StepInputs::default());
        }
        let choice = stream(self.seed, index);
        let positions = (self.position..).take(self.batch);
        let step = positions.map(|at| choice.below(at, 0, steps as u64) as usize).collect();
        let shape = [&[self.batch], self.sample].concat();
        let noise = (1..steps as u64).map(|step| {
            // Far beyond the positions of a run, so that no two steps share noise.
            let position = self.position + (step << 40);
            let noise =
                stream(self.seed, noise).normal_tensor(position, shape.clone(), self.device)?;
            noise.to_dtype(self.dtype)
        });
        Ok(StepInputs { step, noise: noise.collect::<Result<_>>()? })
    }

    /// Noise levels `[B]`. Each follows `distribution`, or, with the given probability, `other`.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn sigma(
        &self,
        of: Use,
        distribution: &SigmaDistribution,
        other: Option<(f64, &SigmaDistribution)>,
    ) -> Result<Tensor> {
        let uniforms = stream(self.seed, of);
        let levels: Vec<f64> = (0..self.batch as u64)
            .map(|i| {
                let position = self.position + i;
                let distribution = match other {
                    Some((share, other)) if uniforms.uniform(position, 1) < share => other,
                    _ => distribution,
                };
                distribution.sigma(uniforms.uniform(position, 0))
            })
            .collect();
        // Converted on the CPU, because not every device supports f64.
        let levels = Tensor::from_vec(levels, self.batch, &Device::Cpu)?;
        levels.to_dtype(self.dtype)?.to_device(self.device)
    }
}
