//! DMD's regression on the teacher's own samples (Yin et al. 2024, arXiv:2311.18828, Eq. 9).

use candle_core::{Result, Tensor};
use divergence::Regression;
use models::{Conditioning, Denoiser, generator::generate};

/// Latents and the images that the teacher's deterministic sampler computes from them.
#[derive(Clone, Debug)]
pub struct RegressionPairs {
    /// Standard normal latents `[B, ...]`.
    pub z: Tensor,
    /// The teacher's images `[B, ...]`, data units.
    pub images: Tensor,
    /// Labels of the images.
    pub cond: Conditioning,
}

/// Regression term `weight · ‖G(z) − x_teacher(z)‖²`, summed over a sample's elements: `[B]`.
///
/// DMD uses a perceptual distance; the squared one needs no further network.
///
/// # Errors
///
/// If there are no pairs, or the generator fails.
pub(crate) fn term(
    term: &Regression,
    generator: &dyn Denoiser,
    pairs: Option<&RegressionPairs>,
    sigma_init: f64,
) -> Result<Tensor> {
    let Some(pairs) = pairs else {
        candle_core::bail!(
            "the method regresses on the teacher's samples, but the run has none; give Source::samples"
        );
    };
    let x0 = generate(generator, &pairs.z, sigma_init, &pairs.cond)?;
    (x0 - &pairs.images)?.sqr()?.flatten_from(1)?.sum(1)? * term.weight
}
