//! The one-step generator: a denoiser called once, at a fixed level, on pure noise.

use candle_core::{DType, Result, Tensor};

use crate::denoiser::{Conditioning, Denoiser};

/// The generator's samples from standard normal `z`.
///
/// ```text
/// x₀ = D(σ_init z; σ_init)
/// ```
///
/// (Zhou et al. 2024, "Score identity Distillation", arXiv:2404.04057.) A teacher's weights are a
/// good start: they return the mean of the data given very noisy images.
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
    let dtype = if z.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let sigma = Tensor::full(sigma_init as f32, z.dim(0)?, z.device())?.to_dtype(dtype)?;
    denoiser.denoise(&(z * sigma_init)?, &sigma, cond)
}
