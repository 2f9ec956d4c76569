//! The one-step generator: a denoiser called once, at a fixed level, on pure noise.

use candle_core::{Result, Tensor};

use crate::denoiser::{Conditioning, Denoiser, level_like};

/// The generator's samples from standard normal `z`.
///
/// ```text
/// x₀ = D(σ_init z; σ_init)
/// ```
///
/// (Zhou et al. 2024, "Score identity Distillation", arXiv:2404.04057.) A teacher's weights are a
/// good start: given very noisy images they return the mean of the data.
///
/// # Shapes
///
/// - `z`: `[B, ...]`; `sigma_init` in data units
/// - returns: the shape of `z`
///
/// # Errors
///
/// If shapes or conditioning do not fit the denoiser.
pub fn generate(
    denoiser: &dyn Denoiser,
    z: &Tensor,
    sigma_init: f64,
    cond: &Conditioning,
) -> Result<Tensor> {
    denoiser.denoise(&(z * sigma_init)?, &level_like(sigma_init, z)?, cond)
}
