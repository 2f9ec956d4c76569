//! Sampling from latents: in one evaluation, and by EDM's deterministic sampler.

use candle_core::{Result, Tensor};
use models::Conditioning;
use models::edm::sampler::{SamplerConfig, sample};
use models::generator::generate;

use crate::pass::Pass;

/// Noise level of the one-step generator's input (SiD, arXiv:2404.04057).
pub const SIGMA_INIT: f64 = 2.5;

/// Samples in one evaluation. The pass's cotangent serves as latents, because it is standard
/// normal.
///
/// # Errors
///
/// If the network fails.
pub fn one_step(pass: &Pass) -> Result<Tensor> {
    generate(&pass.frozen, &pass.inputs.cotangent, SIGMA_INIT, &Conditioning::default())
}

/// Samples by EDM's deterministic Heun sampler (Karras et al. 2022, arXiv:2206.00364, Algorithm 1).
///
/// # Errors
///
/// If the network fails.
pub fn heun(pass: &Pass, steps: usize) -> Result<Tensor> {
    let config = SamplerConfig::heun(steps);
    let silent = &mut |_: usize, _: &[usize]| candle_core::bail!("no churn, so no noise");
    sample(&pass.frozen, &config, &pass.inputs.cotangent, &Conditioning::default(), silent)
}
