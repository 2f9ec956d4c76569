//! The adversarial terms: a discriminator between the noised real and the noised student images.
//!
//! Its optimal logit is the log-ratio that the expansion's weights need (docs/theory.md, "From a
//! logit to a weight"), so one network serves both. Real images have the label 1.

use candle_core::{Result, Tensor};
use divergence::Adversarial;

/// `weight · elements · softplus(−l)`, `[B]`: the non-saturating generator loss, on the scale of
/// losses that are sums over a sample's elements.
///
/// With the optimal logit its gradient is that of the softened reverse KL (docs/theory.md, "What
/// the methods descend").
///
/// # Errors
///
/// If a tensor operation fails.
pub fn generator_term(term: &Adversarial, log_ratio: &Tensor, elements: usize) -> Result<Tensor> {
    kernels::softplus(&log_ratio.neg()?)? * (term.generator_weight * elements as f64)
}

/// `softplus(l_fake) + softplus(−l_real)`, `[B]`: binary cross entropy of the discriminator,
/// twice its mean over both halves.
///
/// # Errors
///
/// If the two halves differ in size.
pub fn discriminator_loss(fake: &Tensor, real: &Tensor) -> Result<Tensor> {
    kernels::softplus(fake)? + kernels::softplus(&real.neg()?)?
}
