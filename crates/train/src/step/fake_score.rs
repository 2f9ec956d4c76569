//! The student's side of a step: the denoiser of its law, and its opinion of a sample.

use candle_core::{Result, Tensor};
use models::{
    Conditioning, Denoiser, LogRatio, Network,
    discriminator::{FeatureDiscriminator, Head},
};

/// The denoiser of the student's law together with the estimate of ln(teacher/student).
///
/// They are one trait because they share work: a discriminator reads the features of the very
/// network that denoises.
pub trait FakeScore: Denoiser + LogRatio {
    /// Both at the same point: the denoised images, shape of `x`, and the log-ratio, `[B]`.
    ///
    /// # Errors
    ///
    /// If shapes or conditioning do not fit.
    fn denoise_and_log_ratio(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> Result<(Tensor, Tensor)> {
        Ok((self.denoise(x, sigma, cond)?, self.log_ratio(x, sigma, cond)?))
    }
}

/// A network with a head on its bottleneck.
pub struct Shared {
    /// What denoises.
    pub network: Network,
    /// What makes a logit of its features.
    pub head: Head,
}

impl Denoiser for Shared {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.network.denoise(x, sigma, cond)
    }
}

impl LogRatio for Shared {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        FeatureDiscriminator { network: &self.network, head: &self.head }.log_ratio(x, sigma, cond)
    }
}

impl FakeScore for Shared {
    fn denoise_and_log_ratio(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        cond: &Conditioning,
    ) -> Result<(Tensor, Tensor)> {
        let pass = self.network.denoise_and_encode(x, sigma, cond)?;
        let log_ratio = self.head.logits(&pass.features, sigma, cond)?;
        Ok((pass.x0, log_ratio))
    }
}

/// A denoiser and a log-ratio that know nothing of each other.
pub struct Separate<D, R> {
    /// What denoises.
    pub denoiser: D,
    /// What estimates the log-ratio.
    pub ratio: R,
}

impl<D: Denoiser, R> Denoiser for Separate<D, R> {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.denoiser.denoise(x, sigma, cond)
    }
}

impl<D, R: LogRatio> LogRatio for Separate<D, R> {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.ratio.log_ratio(x, sigma, cond)
    }
}

impl<D: Denoiser, R: LogRatio> FakeScore for Separate<D, R> {}
