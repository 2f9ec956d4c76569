//! Adversarial terms: a discriminator between noised real images and noised samples.
//!
//! Its optimal logit is the log-ratio that the expansion's weights need (docs/theory.md, "From a
//! logit to a weight"), so one network serves both. Real images have the label 1.

use candle_core::{Result, Tensor};
use divergence::Adversarial;

/// Non-saturating generator loss `weight · elements · softplus(−l)`, `[B]`, on the scale of losses
/// that are sums over a sample's elements.
///
/// With the optimal logit, its gradient is the gradient of the softened reverse KL (docs/theory.md, "What
/// the methods descend").
///
/// # Errors
///
/// If a tensor operation fails.
pub(crate) fn generator_term(
    term: &Adversarial,
    log_ratio: &Tensor,
    elements: usize,
) -> Result<Tensor> {
    kernels::softplus(&log_ratio.neg()?)? * (term.generator_weight * elements as f64)
}

/// Binary cross entropy of the discriminator, `softplus(l_fake) + softplus(−l_real)`, `[B]`: twice
/// its mean over both halves.
///
/// # Errors
///
/// If the two halves differ in size.
pub(crate) fn discriminator_loss(fake: &Tensor, real: &Tensor) -> Result<Tensor> {
    kernels::softplus(fake)? + kernels::softplus(&real.neg()?)?
}
