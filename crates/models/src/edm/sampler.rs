//! EDM's stochastic sampler (Karras et al. 2022, arXiv:2206.00364, Algorithm 2), and Euler's method.

use candle_core::{DType, Device, Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use super::schedule::{RHO, karras_sigmas};
use crate::denoiser::{Conditioning, Denoiser, level_like};
use kernels::noise::NoiseStream;

/// The integrator of the probability-flow equation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Integrator {
    /// First order: `n` evaluations in `n` steps.
    Euler,
    /// Second order: `2n − 1` evaluations in `n` steps.
    Heun,
}

/// Options of the sampler. The default is EDM's deterministic one in 18 steps (35 evaluations).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplerConfig {
    /// Noise levels, without the final zero.
    pub steps: usize,
    /// Least noise level, raised to the network's least.
    pub sigma_min: f64,
    /// Greatest noise level, lowered to the network's greatest.
    pub sigma_max: f64,
    /// Exponent of the ramp of levels.
    pub rho: f64,
    /// The integrator.
    pub integrator: Integrator,
    /// Amount of noise added during sampling; zero is deterministic.
    pub s_churn: f64,
    /// Least level at which noise is added.
    pub s_min: f64,
    /// Greatest level at which noise is added; `None` is no bound.
    pub s_max: Option<f64>,
    /// Standard deviation of the added noise, relative to the theoretical value.
    pub s_noise: f64,
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self {
            steps: 18,
            sigma_min: 0.002,
            sigma_max: 80.0,
            rho: RHO,
            integrator: Integrator::Heun,
            s_churn: 0.0,
            s_min: 0.0,
            s_max: None,
            s_noise: 1.0,
        }
    }
}

impl SamplerConfig {
    /// The deterministic Heun sampler in so many steps.
    pub fn heun(steps: usize) -> Self {
        Self { steps, ..Self::default() }
    }

    /// Evaluations of the network that a sample takes.
    pub fn evaluations(&self) -> usize {
        match self.integrator {
            Integrator::Euler => self.steps,
            Integrator::Heun => (2 * self.steps).saturating_sub(1),
        }
    }

    /// Factor by which the level rises before a step from `sigma`, less one.
    fn gamma(&self, sigma: f64) -> f64 {
        let churned = self.s_min <= sigma && self.s_max.is_none_or(|s_max| sigma <= s_max);
        if churned { (self.s_churn / self.steps as f64).min(2f64.sqrt() - 1.0) } else { 0.0 }
    }
}

/// Source of the noise of step `i`, for images of the given shape.
pub type StepNoise<'a> = dyn FnMut(usize, &[usize]) -> Result<Tensor> + 'a;

/// The noise of churn, read from one stream: step `i` of sample `k` is row `k + i · samples`.
///
/// `samples` is the number of samples that share the stream, so that no two rows coincide; `first`
/// is the first sample of this batch.
pub fn stream_noise(
    stream: NoiseStream,
    first: u64,
    samples: u64,
    device: &Device,
) -> impl FnMut(usize, &[usize]) -> Result<Tensor> {
    let device = device.clone();
    move |step, shape| stream.normal_tensor(first + step as u64 * samples, shape, &device)
}

/// Images from standard normal `latents: [B, C, H, W]`, in the latents' precision.
///
/// The state is kept in f64 where the device has it. `noise` is called only if churn is on.
///
/// # Errors
///
/// If an option is out of range, or the network rejects its input.
pub fn sample(
    denoiser: &dyn Denoiser,
    config: &SamplerConfig,
    latents: &Tensor,
    cond: &Conditioning,
    noise: &mut StepNoise<'_>,
) -> Result<Tensor> {
    let levels = levels(denoiser, config)?;
    let state = if latents.device().is_metal() { latents.dtype() } else { DType::F64 };
    let denoise = |x: &Tensor, sigma: f64| {
        let x = x.to_dtype(latents.dtype())?;
        denoiser.denoise(&x, &level_like(sigma, &x)?, cond)?.detach().to_dtype(state)
    };
    let mut x = (latents.detach().to_dtype(state)? * levels[0])?;
    for (i, pair) in levels.windows(2).enumerate() {
        let &[current, next] = pair else { unreachable!("windows of two") };
        let raised = denoiser.round_sigma(current * (1.0 + config.gamma(current)));
        if current < raised {
            let added = (raised * raised - current * current).sqrt() * config.s_noise;
            x = (x + (noise(i, latents.dims())?.to_dtype(state)? * added)?)?;
        }
        let slope = ((&x - denoise(&x, raised)?)? / raised)?;
        let step = next - raised;
        let euler = (&x + (&slope * step)?)?;
        x = if config.integrator == Integrator::Heun && next != 0.0 {
            let slope_next = ((&euler - denoise(&euler, next)?)? / next)?;
            (x + ((slope + slope_next)? * (0.5 * step))?)?
        } else {
            euler
        };
    }
    x.to_dtype(latents.dtype())
}

/// The levels of the run, ending in zero.
fn levels(denoiser: &dyn Denoiser, config: &SamplerConfig) -> Result<Vec<f64>> {
    let [low, high] = denoiser.sigma_range();
    let (sigma_min, sigma_max) = (config.sigma_min.max(low), config.sigma_max.min(high));
    if config.steps == 0 {
        bail!("sampler: 0 steps; at least 1 is needed");
    }
    if !(0.0 < sigma_min && sigma_min <= sigma_max && sigma_max.is_finite()) {
        bail!(
            "sampler: sigma_min {sigma_min} must be positive and not above sigma_max {sigma_max}"
        );
    }
    if !(0.0 < config.rho && 0.0 <= config.s_churn && 0.0 <= config.s_noise) {
        bail!("sampler: rho must be positive, s_churn and s_noise not negative");
    }
    let ramp = karras_sigmas(config.steps, sigma_min, sigma_max, config.rho);
    let mut levels: Vec<f64> = ramp.into_iter().map(|s| denoiser.round_sigma(s)).collect();
    levels.push(0.0);
    Ok(levels)
}
