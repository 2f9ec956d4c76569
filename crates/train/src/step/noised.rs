//! A sample and its noised version.

use candle_core::{Result, Tensor};
use kernels::per_sample;

/// A sample, noised: `x = x0 + σ n`.
#[derive(Clone, Debug)]
pub struct Noised {
    /// The clean sample `[B, ...]`, data units.
    pub x0: Tensor,
    /// The noised sample, same shape and units.
    pub x: Tensor,
    /// Noise level `[B]`, same units.
    pub sigma: Tensor,
}

impl Noised {
    /// Adds noise at level `sigma`.
    ///
    /// # Errors
    ///
    /// If the shapes disagree.
    pub fn new(x0: Tensor, sigma: &Tensor, noise: &Tensor) -> Result<Self> {
        let x = (&x0 + noise.broadcast_mul(&per_sample(sigma, x0.rank())?)?)?;
        Ok(Self { x0, x, sigma: sigma.clone() })
    }
}
