//! DMD's regression on the teacher's own samples (Yin et al. 2024, arXiv:2311.18828, Eq. 9).

use candle_core::{Result, Tensor};
use divergence::Regression;
use models::{Conditioning, Denoiser, generator::generate};

/// Latents and what the teacher's deterministic sampler makes of them.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Standard normal latents `[B, ...]`.
    pub z: Tensor,
    /// The teacher's images `[B, ...]`, data units.
    pub images: Tensor,
    /// Labels they were made with.
    pub cond: Conditioning,
}

/// `weight · ‖G(z) − x_teacher(z)‖²`, summed over a sample's elements: `[B]`.
///
/// DMD takes a perceptual distance; the squared one needs no further network.
///
/// # Errors
///
/// If there are no pairs, or the generator fails.
pub fn term(
    term: &Regression,
    generator: &dyn Denoiser,
    pairs: Option<&Pairs>,
    sigma_init: f64,
) -> Result<Tensor> {
    let Some(pairs) = pairs else {
        candle_core::bail!("the method regresses on the teacher's samples, and there are none");
    };
    let x0 = generate(generator, &pairs.z, sigma_init, &pairs.cond)?;
    (x0 - &pairs.images)?.sqr()?.flatten_from(1)?.sum(1)? * term.weight
}
