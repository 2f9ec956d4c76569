//! The fake score's loss: denoising of the student's samples, and telling them from real ones.

use candle_core::{Result, Tensor};
use divergence::{Adversarial, FakeWeighting};
use models::Conditioning;

use super::{FakeScore, Inputs, Noised, adversarial::discriminator_loss};

/// Real images, noised with a noise of their own at the levels of the fake ones.
#[derive(Clone, Debug)]
pub struct Real {
    /// Clean images `[B, ...]`, data units.
    pub images: Tensor,
    /// Standard normal noise, same shape.
    pub noise: Tensor,
    /// Their labels.
    pub cond: Conditioning,
}

/// The parts of the fake score's loss, each `[B]`.
#[derive(Debug)]
pub struct FakeTerms {
    /// `λ(σ) ‖D(x; σ) − x0‖²`, summed over a sample's elements; `λ` as the method weighs.
    pub denoising: Tensor,
    /// The discriminator's cross entropy, weighted, where there is a discriminator.
    pub discriminator: Option<Tensor>,
    /// Mean logits on (fake, real), where there is a discriminator.
    pub logits: Option<(Tensor, Tensor)>,
}

impl FakeTerms {
    /// The sum of all parts, `[B]`.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn total(&self) -> Result<Tensor> {
        match &self.discriminator {
            Some(discriminator) => &self.denoising + discriminator,
            None => Ok(self.denoising.clone()),
        }
    }
}

/// What the discriminator's part of the loss needs.
#[derive(Clone, Copy)]
pub struct Discrimination<'a> {
    /// Real images.
    pub real: &'a Real,
    /// Weights of the adversarial terms; without one, the discriminator only serves the ratio.
    pub adversarial: Option<&'a Adversarial>,
}

/// Weight of the discriminator's loss, an element, where it only serves the ratio: that of SiDA's
/// adversarial term (see [`Adversarial`]).
const RATIO_WEIGHT: f64 = 0.03;

/// One forward pass of the fake score's step on samples `x0` of the student, `[B, ...]`, detached.
///
/// # Errors
///
/// If a network fails.
pub fn fake_terms(
    fake: &dyn FakeScore,
    x0: Tensor,
    inputs: &Inputs,
    weighting: FakeWeighting,
    sigma_data: f64,
    discrimination: Option<Discrimination<'_>>,
) -> Result<FakeTerms> {
    let noised = Noised::new(x0.detach(), &inputs.sigma, &inputs.noise)?;
    let Noised { x0, x, sigma } = &noised;
    let loss = |denoised: &Tensor| match weighting {
        FakeWeighting::Edm => denoising_loss(denoised, x0, sigma, sigma_data),
        FakeWeighting::Uniform => squared_error(denoised, x0),
    };
    let Some(Discrimination { real, adversarial }) = discrimination else {
        let denoised = fake.denoise(x, sigma, &inputs.cond)?;
        let denoising = loss(&denoised)?;
        return Ok(FakeTerms { denoising, discriminator: None, logits: None });
    };
    let (denoised, on_fake) = fake.denoise_and_log_ratio(x, sigma, &inputs.cond)?;
    let denoising = loss(&denoised)?;
    let real_noised = Noised::new(real.images.detach(), sigma, &real.noise)?;
    let on_real = fake.log_ratio(&real_noised.x, sigma, &real.cond)?;
    let weight = adversarial.map_or(RATIO_WEIGHT, |term| term.discriminator_weight);
    let elements = x0.elem_count() / x0.dim(0)?.max(1);
    let discriminator = (discriminator_loss(&on_fake, &on_real)? * (weight * elements as f64))?;
    let logits = Some((on_fake.detach(), on_real.detach()));
    Ok(FakeTerms { denoising, discriminator: Some(discriminator), logits })
}

/// EDM's denoising loss, summed over a sample's elements: `[B]`.
///
/// ```text
/// λ(σ) ‖D(x; σ) − x0‖²,    λ(σ) = (σ² + σ_data²) / (σ σ_data)²
/// ```
///
/// (Karras et al. 2022, arXiv:2206.00364, Table 1.)
///
/// # Errors
///
/// If the shapes do not agree.
pub fn denoising_loss(
    denoised: &Tensor,
    x0: &Tensor,
    sigma: &Tensor,
    sigma_data: f64,
) -> Result<Tensor> {
    let variance = (sigma.sqr()? + sigma_data * sigma_data)?;
    squared_error(denoised, x0)? * (variance / (sigma * sigma_data)?.sqr()?)?
}

/// `‖D(x; σ) − x0‖²`, summed over a sample's elements: `[B]`.
fn squared_error(denoised: &Tensor, x0: &Tensor) -> Result<Tensor> {
    (denoised - x0)?.sqr()?.flatten_from(1)?.sum(1)
}
