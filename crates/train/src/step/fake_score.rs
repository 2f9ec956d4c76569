//! The fake score: the denoiser of the student's distribution, with an estimate of the log-ratio.

use candle_core::{Result, Tensor};
use models::{
    Conditioning, Denoiser, LogRatio, Network,
    discriminator::{FeatureDiscriminator, Head},
};

/// Denoiser of the student's distribution, together with an estimate of ln(teacher/student).
///
/// One trait covers both because they share work: a discriminator reads the features of the network
/// that denoises.
pub trait FakeScoreModel: Denoiser + LogRatio {
    /// Denoised images, of the shape of `x`, and log-ratio, `[B]`, at the same point.
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

    /// Tells the engine to train the log-ratio as a discriminator on real images, as by default.
    /// False if it is known in closed form; no real images are needed then.
    fn trains_log_ratio(&self) -> bool {
        true
    }
}

/// A network with a discriminator head on its bottleneck: denoiser and log-ratio share the encoder.
pub struct SharedBackbone {
    /// Denoiser.
    pub network: Network,
    /// Head that computes a logit from the features.
    pub head: Head,
}

impl Denoiser for SharedBackbone {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.network.denoise(x, sigma, cond)
    }

    fn sigma_range(&self) -> [f64; 2] {
        self.network.sigma_range()
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        self.network.round_sigma(sigma)
    }
}

impl LogRatio for SharedBackbone {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        FeatureDiscriminator { network: &self.network, head: &self.head }.log_ratio(x, sigma, cond)
    }
}

impl FakeScoreModel for SharedBackbone {
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

/// A denoiser with a log-ratio that is not trained: one in closed form, or [`NoRatio`].
pub struct KnownRatio<D, R> {
    /// Denoiser, trained or in closed form.
    pub denoiser: D,
    /// Log-ratio.
    pub ratio: R,
}

impl<D: Denoiser, R> Denoiser for KnownRatio<D, R> {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.denoiser.denoise(x, sigma, cond)
    }

    fn sigma_range(&self) -> [f64; 2] {
        self.denoiser.sigma_range()
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        self.denoiser.round_sigma(sigma)
    }
}

impl<D, R: LogRatio> LogRatio for KnownRatio<D, R> {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.ratio.log_ratio(x, sigma, cond)
    }
}

impl<D: Denoiser, R: LogRatio> FakeScoreModel for KnownRatio<D, R> {
    fn trains_log_ratio(&self) -> bool {
        false
    }
}

/// Log-ratio of methods that need none; evaluating it is an error.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRatio;

impl LogRatio for NoRatio {
    fn log_ratio(&self, _: &Tensor, _: &Tensor, _: &Conditioning) -> Result<Tensor> {
        candle_core::bail!(
            "the method needs a log-ratio, and this fake score has none; choose a method without \
             one, such as reverse KL, or give a log-ratio"
        )
    }
}
