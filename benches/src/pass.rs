//! One pass through a network: forward, and backward to the weights or to the images.

use std::collections::BTreeMap;
use std::hint::black_box;

use candle_core::{DType, Device, Result, Tensor, Var, backprop::GradStore};
use divergence::SigmaDistribution;
use kernels::noise::NoiseStream;
use models::{Conditioning, Denoiser, Network, NetworkConfig, ParamSet};

/// Seed of the inputs.
const SEED: u64 = 11;
/// Seed of the weights.
const WEIGHT_SEED: u64 = 1;
/// Standard deviation of the noise added to every initial weight, because layers that start at zero
/// would hide a wrong gradient.
const JITTER: f64 = 0.02;

/// Inputs of a pass.
pub struct Inputs {
    /// Noised images, `[B, C, H, W]`.
    pub x: Tensor,
    /// Noise levels, `[B]`.
    pub sigma: Tensor,
    /// Gradient of a loss with respect to the output, `[B, C, H, W]`, so that only the network is
    /// differentiated.
    pub cotangent: Tensor,
}

/// A network with weights and inputs.
pub struct Pass {
    /// All weights.
    pub params: ParamSet,
    /// Network that passes gradients to its weights.
    pub trained: Network,
    /// Network that passes gradients to its input alone.
    pub frozen: Network,
    /// Inputs of the network.
    pub inputs: Inputs,
}

impl Pass {
    /// Builds a network with weights and inputs that are a function of the configuration.
    ///
    /// # Errors
    ///
    /// If the network is invalid.
    pub fn new(config: &NetworkConfig, batch: usize) -> crate::Result<Self> {
        Self::on(config, batch, &Device::Cpu, DType::F32)
    }

    /// Builds a pass on a device, in an element type: see [`Self::new`].
    ///
    /// # Errors
    ///
    /// If the network is invalid, or the device cannot hold it.
    pub fn on(
        config: &NetworkConfig,
        batch: usize,
        device: &Device,
        dtype: DType,
    ) -> crate::Result<Self> {
        let params = weights(config, WEIGHT_SEED)?.to_dtype(dtype)?.to_device(device)?;
        let (trained, frozen) =
            (config.build(&params.trainable())?, config.build(&params.frozen())?);
        let Inputs { x, sigma, cotangent } = inputs(config, batch)?;
        let to = |it: Tensor| it.to_dtype(dtype)?.to_device(device);
        let inputs = Inputs { x: to(x)?, sigma: to(sigma)?, cotangent: to(cotangent)? };
        Ok(Self { params, trained, frozen, inputs })
    }

    /// Computes the denoised images, `[B, C, H, W]`.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub fn forward(&self) -> Result<Tensor> {
        self.frozen.denoise(&self.inputs.x, &self.inputs.sigma, &Conditioning::default())
    }

    /// Computes the gradient with respect to every weight.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub fn grad_weights(&self) -> Result<GradStore> {
        let Inputs { x, sigma, cotangent } = &self.inputs;
        let y = self.trained.denoise(x, sigma, &Conditioning::default())?;
        models::backward(&(y * cotangent)?.sum_all()?)
    }

    /// Computes the gradient with respect to the images, `[B, C, H, W]`.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub fn grad_input(&self) -> Result<Tensor> {
        let Inputs { x, sigma, cotangent } = &self.inputs;
        let x = Var::from_tensor(x)?;
        let y = self.frozen.denoise(&x, sigma, &Conditioning::default())?;
        let mut store = models::backward(&(y * cotangent)?.sum_all()?)?;
        match store.remove(&x) {
            Some(gradient) => Ok(gradient),
            None => candle_core::bail!("the network passed no gradient to its input"),
        }
    }
}

/// Runs a pass and drops what it returns.
///
/// # Errors
///
/// If the pass fails.
pub fn discard<T>(result: Result<T>) -> Result<()> {
    black_box(result?);
    Ok(())
}

/// Makes initial weights of a seed, with noise added.
///
/// # Errors
///
/// If the network is invalid.
pub fn weights(config: &NetworkConfig, seed: u64) -> crate::Result<ParamSet> {
    let params = config.init(seed)?;
    let mut moved = BTreeMap::new();
    for (index, (name, var)) in params.vars().iter().enumerate() {
        let stream = NoiseStream::new(seed, u32::try_from(index)?);
        let noise = stream.normal_tensor(0, (1, var.elem_count()), &Device::Cpu)?;
        let noise = (noise * JITTER)?.reshape(var.shape())?;
        moved.insert(name.clone(), (var.as_tensor() + noise)?);
    }
    params.set_from(&moved)?;
    Ok(params)
}

fn inputs(config: &NetworkConfig, batch: usize) -> crate::Result<Inputs> {
    let shape = [batch, config.img_channels, config.img_resolution, config.img_resolution];
    let draw = |stream| NoiseStream::new(SEED, stream).normal_tensor(0, &shape, &Device::Cpu);
    let levels = NoiseStream::new(SEED, 0);
    // EDM's training distribution (Karras et al. 2022, arXiv:2206.00364, Table 1).
    let distribution = SigmaDistribution::LogNormal { mean: -1.2, std: 1.2 };
    let sigma: Vec<f32> =
        (0..batch as u64).map(|row| distribution.sigma(levels.uniform(row, 0)) as f32).collect();
    let sigma = Tensor::from_vec(sigma, batch, &Device::Cpu)?;
    let deviation = (sigma.sqr()? + config.sigma_data.powi(2))?.sqrt()?;
    let x = draw(1)?.broadcast_mul(&kernels::per_sample(&deviation, 4)?)?;
    Ok(Inputs { x, sigma, cotangent: draw(2)? })
}
