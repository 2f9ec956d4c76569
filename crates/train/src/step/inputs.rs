//! What a step draws at random: a pure function of seed and position.

use candle_core::{DType, Device, Result, Tensor};
use divergence::SigmaDistribution;
use models::Conditioning;

use crate::streams::{Use, stream};

/// Where a step's random numbers come from: its streams and its place in them.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// Position of the batch's first sample.
    pub position: u64,
    /// Samples.
    pub batch: usize,
    /// Shape of one sample, `[C, H, W]` or `[N]`.
    pub sample: &'a [usize],
    /// Number type of the networks.
    pub dtype: DType,
    /// Where the tensors go.
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
    /// Labels and the like, the same for every network of the step.
    pub cond: Conditioning,
}

impl Draw<'_> {
    /// Standard normal numbers `[B, ...]` of one use.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn normal(&self, of: Use) -> Result<Tensor> {
        let shape = [&[self.batch], self.sample].concat();
        stream(self.seed, of).normal_tensor(self.position, shape, self.device)?.to_dtype(self.dtype)
    }

    /// Noise levels `[B]`: each sample follows `law`, or `other` with the probability it comes with.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn sigma(
        &self,
        of: Use,
        law: &SigmaDistribution,
        other: Option<(f64, &SigmaDistribution)>,
    ) -> Result<Tensor> {
        let uniforms = stream(self.seed, of);
        let levels: Vec<f64> = (0..self.batch as u64)
            .map(|i| {
                let position = self.position + i;
                let law = match other {
                    Some((share, other)) if uniforms.uniform(position, 1) < share => other,
                    _ => law,
                };
                law.sigma(uniforms.uniform(position, 0))
            })
            .collect();
        // Not every device has f64.
        let levels = Tensor::from_vec(levels, self.batch, &Device::Cpu)?;
        levels.to_dtype(self.dtype)?.to_device(self.device)
    }
}
