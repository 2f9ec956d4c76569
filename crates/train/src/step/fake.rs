//! Loss of the fake score: denoising of the student's samples, and discrimination from real images.

use candle_core::{Result, Tensor};
use divergence::{Adversarial, FakeWeighting};
use models::Conditioning;

use super::{FakeScoreModel, Inputs, LogRatioEstimate, Noised, adversarial::discriminator_loss};

/// Real images, with their own noise. They are noised at the levels of the fake images.
#[derive(Clone, Debug)]
pub struct RealBatch {
    /// Clean images `[B, ...]`, data units.
    pub images: Tensor,
    /// Standard normal noise, same shape.
    pub noise: Tensor,
    /// Labels of the images.
    pub cond: Conditioning,
}

/// The parts of the fake score's loss, each `[B]`.
#[derive(Debug)]
pub struct FakeTerms {
    /// Denoising loss `λ(σ) ‖D(x; σ) − x0‖²`, summed over a sample's elements, with the method's `λ`.
    pub denoising: Tensor,
    /// Weighted cross entropy of the discriminator, if one is trained.
    pub discriminator: Option<Tensor>,
    /// Logits on (fake, real), if a discriminator is trained.
    pub logits: Option<(Tensor, Tensor)>,
}

impl FakeTerms {
    /// Sum of all parts, `[B]`.
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

/// Inputs of the discriminator's part of the loss.
#[derive(Clone, Copy)]
pub struct Discrimination<'a> {
    /// Real images.
    pub real: &'a RealBatch,
    /// Weights of the adversarial terms; `None` if the discriminator serves the ratio alone.
    pub adversarial: Option<&'a Adversarial>,
    /// Estimates of the log-ratio at the noised samples and at the noised real images, on which the
    /// logits are regressed next to the cross entropy; `None` for the cross entropy alone.
    pub targets: Option<&'a [LogRatioEstimate; 2]>,
}

/// Weight per element of the discriminator's loss if it serves the ratio alone: the weight of SiDA's
/// adversarial term (see [`Adversarial`]).
const RATIO_WEIGHT: f64 = 0.03;

/// Runs the forward pass of the fake score's step on detached samples `x0` of the student,
/// `[B, ...]`.
///
/// # Errors
///
/// If a network fails.
pub fn fake_terms(
    fake: &dyn FakeScoreModel,
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
    let Some(Discrimination { real, adversarial, targets }) = discrimination else {
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
    let mut discriminator = discriminator_loss(&on_fake, &on_real)?;
    if let Some([fake, real]) = targets {
        let both = (regression_loss(&on_fake, fake)? + regression_loss(&on_real, real)?)?;
        discriminator = (discriminator + both)?;
    }
    let discriminator = (discriminator * (weight * elements as f64))?;
    let logits = Some((on_fake.detach(), on_real.detach()));
    Ok(FakeTerms { denoising, discriminator: Some(discriminator), logits })
}

/// Regression of logits on estimates of the log-ratio, `(l − l̂)²/2` where there is an estimate: `[B]`. Its
/// minimizer over functions of the sample is the conditional mean of the estimate, which is the
/// log-ratio if the estimate is unbiased.
fn regression_loss(logits: &Tensor, target: &LogRatioEstimate) -> Result<Tensor> {
    let ran: Vec<f64> = target.estimated.iter().map(|&ran| f64::from(u8::from(ran))).collect();
    ((logits - &target.values)?.sqr()? * 0.5)? * kernels::from_host(&ran, logits)?
}

/// Denoising loss of EDM, summed over a sample's elements: `[B]`.
///
/// ```text
/// λ(σ) ‖D(x; σ) − x0‖²,    λ(σ) = (σ² + σ_data²) / (σ σ_data)²
/// ```
///
/// (Karras et al. 2022, arXiv:2206.00364, Table 1.)
///
/// # Errors
///
/// If the shapes disagree.
pub fn denoising_loss(
    denoised: &Tensor,
    x0: &Tensor,
    sigma: &Tensor,
    sigma_data: f64,
) -> Result<Tensor> {
    let variance = (sigma.sqr()? + sigma_data * sigma_data)?;
    squared_error(denoised, x0)? * (variance / (sigma * sigma_data)?.sqr()?)?
}

/// Squared error `‖D(x; σ) − x0‖²`, summed over a sample's elements: `[B]`.
fn squared_error(denoised: &Tensor, x0: &Tensor) -> Result<Tensor> {
    (denoised - x0)?.sqr()?.flatten_from(1)?.sum(1)
}
