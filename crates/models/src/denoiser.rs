//! The two interfaces of this workspace: denoisers, and estimates of the log-ratio.
//!
//! A distillation step calls networks through these traits alone, so that closed-form toy problems run
//! through the same step that trains images.

use candle_core::{Device, Result, Tensor};
use kernels::DropoutKey;

/// Inputs of a network in addition to the noised image and its noise level.
#[derive(Clone, Debug, Default)]
pub struct Conditioning {
    /// Class labels, one-hot or soft, `[B, K]`. `None` on an unconditional network.
    pub labels: Option<Tensor>,
    /// Parameters of the augmentation that was applied, `[B, A]`; `None` means not augmented.
    pub augment: Option<Tensor>,
    /// Present while training with dropout; `None` evaluates the network.
    pub dropout: Option<DropoutKey>,
}

impl Conditioning {
    /// Labels alone, evaluation mode.
    pub fn labels(labels: Option<Tensor>) -> Self {
        Self { labels, ..Self::default() }
    }
}

/// A denoiser `D(x; σ) = E[x₀ | x = x₀ + σ n]` (Karras et al. 2022, arXiv:2206.00364, Eq. 3).
///
/// A one-step generator is a denoiser too: called at `(σ_init z, σ_init)` it returns its sample.
pub trait Denoiser {
    /// The denoised images.
    ///
    /// # Shapes
    ///
    /// - `x`: `[B, C, H, W]` (or `[B, N]`), data units; `sigma`: `[B]`, same units, positive
    /// - returns: the shape of `x`
    ///
    /// # Errors
    ///
    /// If shapes or conditioning do not fit the network.
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor>;

    /// Smallest and largest noise level that the denoiser accepts: `[0.0, f64::INFINITY]` if it
    /// accepts any. A denoiser that wraps another must forward it.
    fn sigma_range(&self) -> [f64; 2];

    /// The nearest noise level that the denoiser was trained at: `sigma` itself, unless its levels
    /// are a table. A denoiser that wraps another must forward it.
    fn round_sigma(&self, sigma: f64) -> f64;
}

/// An estimate of `l(x, σ) = ln(p_σ(x) / q_σ(x))`, teacher over student.
pub trait LogRatio {
    /// The log-ratio of each sample: `[B]`, differentiable in `x`.
    ///
    /// # Errors
    ///
    /// If shapes or conditioning do not fit the network.
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor>;
}

/// One noise level for all samples of `x: [B, ...]`: `[B]`, in the precision and on the device of `x`.
///
/// # Errors
///
/// If the device fails.
pub fn level_like(sigma: f64, x: &Tensor) -> Result<Tensor> {
    // Created on the CPU, because not every device has f64.
    let level = Tensor::full(sigma, x.dim(0)?, &Device::Cpu)?;
    level.to_dtype(x.dtype())?.to_device(x.device())
}
