//! Discriminators on the features of a network, which separate teacher (real) from student (fake).
//!
//! The logit of a discriminator trained with label 1 on the teacher's side is the log-ratio
//! `l = ln(p_σ/q_σ)` itself. Both heads read the bottleneck of a network that exists anyway (the
//! fake score), so that a ratio costs half a forward pass, or nothing if the network is also
//! evaluated at the same point ([`Network::denoise_and_encode`]).
//!
//! A head outputs one logit per patch; a sample's logit is their mean. The discriminator is trained on
//! that mean, so the mean itself is the log-ratio. If each patch were trained by itself, as in SiDA, the
//! mean would be a *tempered* log-ratio: right in sign and order, not in scale.

use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use crate::denoiser::{Conditioning, LogRatio};
use crate::error;
use crate::layout::{Layout, Scope};
use crate::network::{Network, NetworkConfig};
use crate::params::{ParamSet, Params};
use crate::unet::config::check_positive;
use crate::unet::conv::{Conv, Linear, Norm, Resample, Start};
use crate::unet::embedding::Waves;
use kernels::Filter;
use kernels::tape::{self, Plus, Value, layers};

/// Map from features to a logit.
#[derive(Debug)]
#[non_exhaustive]
pub enum Head {
    /// The mean over channels and positions, without parameters; the network learns it (SiDA, Zhou et
    /// al. 2025, arXiv:2410.14919).
    Bottleneck,
    /// A small network, conditioned on noise level and class.
    Learned(Box<LearnedHead>),
}

impl Head {
    /// The logit of each sample.
    ///
    /// # Shapes
    ///
    /// - `features`: `[B, C, h, w]`, of [`Network::encode`]; `sigma`: `[B]`
    /// - returns: `[B]`
    ///
    /// # Errors
    ///
    /// If shapes do not fit.
    pub fn logits(&self, features: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        match self {
            Self::Bottleneck => features.flatten_from(1)?.mean(1),
            Self::Learned(head) => head.logits(features, sigma, cond),
        }
    }
}

/// A head on the features of a network.
#[derive(Clone, Copy, Debug)]
pub struct FeatureDiscriminator<'a> {
    /// Network whose bottleneck is read.
    pub network: &'a Network,
    /// Head on its features.
    pub head: &'a Head,
}

impl LogRatio for FeatureDiscriminator<'_> {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.head.logits(&self.network.encode(x, sigma, cond)?, sigma, cond)
    }
}

/// Sizes of a [`LearnedHead`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// Channels of the features.
    pub features: usize,
    /// Classes; zero means a head without labels.
    pub label_dim: usize,
    /// Channels of the head.
    pub width: usize,
}

impl HeadConfig {
    /// A head of this width on the features of this network.
    pub fn new(network: &NetworkConfig, width: usize) -> Self {
        let features = network.bottleneck_channels();
        Self { features, label_dim: network.label_dim, width }
    }

    /// Initial weights, a function of the seed. Logits start near zero.
    ///
    /// # Errors
    ///
    /// If a size is out of range.
    pub fn init(&self, seed: u64) -> error::Result<ParamSet> {
        Layout::of(|scope| self.head(scope))?.init(seed)
    }

    /// Number of trained parameters.
    ///
    /// # Errors
    ///
    /// If a size is out of range.
    pub fn parameter_count(&self) -> error::Result<usize> {
        let layout = Layout::of(|scope| self.head(scope))?;
        Ok(layout.0.values().map(|spec| spec.shape.iter().product::<usize>()).sum())
    }

    /// The head over these tensors.
    ///
    /// # Errors
    ///
    /// If a size is out of range, or naming a tensor that is missing or of another shape.
    pub fn build(&self, params: &Params) -> error::Result<LearnedHead> {
        self.head(&Scope::root(params))
    }

    fn head(&self, scope: &Scope<'_>) -> error::Result<LearnedHead> {
        check_positive("head.features", self.features)?;
        check_positive("head.width", self.width)?;
        LearnedHead::new(&scope.at("head"), self)
    }
}

/// Convolution, modulated norm, halving, convolution, norm, patch logits.
#[derive(Debug)]
pub struct LearnedHead {
    config: HeadConfig,
    waves: Waves,
    map_noise: Linear,
    map_label: Option<Linear>,
    affine: Linear,
    conv0: Conv,
    norm0: Norm,
    conv1: Conv,
    norm1: Norm,
    out: Conv,
}

impl LearnedHead {
    const EPS: f64 = 1e-5;
    /// Gain of the last layer.
    const GAIN_OUT: f64 = 1e-2;
    /// Frequencies of the embedding of `ln(σ)/4`, which spans about ±1.5: 1/2, 1, 2, ..., 16.
    const FREQUENCIES: i32 = 6;

    fn new(scope: &Scope<'_>, config: &HeadConfig) -> error::Result<Self> {
        let (start, keep) = (Start::Xavier(1.0), Resample::Keep);
        let &HeadConfig { features, label_dim, width } = config;
        let waves = Waves::Positional((-1..Self::FREQUENCIES - 1).map(|k| 2f64.powi(k)).collect());
        let map_noise = [2 * Self::FREQUENCIES as usize, width];
        let map_label = match label_dim {
            0 => None,
            classes => Some(Linear::unbiased(&scope.at("map_label"), [classes, width], start)?),
        };
        Ok(Self {
            config: config.clone(),
            waves,
            map_noise: Linear::new(&scope.at("map_noise"), map_noise, start)?,
            map_label,
            affine: Linear::new(&scope.at("affine"), [width, 2 * width], start)?,
            conv0: Conv::new(&scope.at("conv0"), [features, width, 3], keep, start)?,
            norm0: Norm::new(&scope.at("norm0"), width, Self::EPS)?,
            conv1: Conv::new(&scope.at("conv1"), [width, width, 3], keep, start)?,
            norm1: Norm::new(&scope.at("norm1"), width, Self::EPS)?,
            out: Conv::new(&scope.at("out"), [width, 1, 1], keep, Start::Xavier(Self::GAIN_OUT))?,
        })
    }

    fn logits(&self, features: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        let (batch, channels, height, width) = features.dims4()?;
        if channels != self.config.features || sigma.dims() != [batch] {
            bail!(
                "discriminator head of {} channels: features are {:?}, sigma is {:?}",
                self.config.features,
                features.shape(),
                sigma.shape()
            );
        }
        let halve = 4 <= height.min(width) && height.is_multiple_of(2) && width.is_multiple_of(2);
        let patches = tape::run(features, &[Some(sigma), cond.labels.as_ref()], |features| {
            let emb = self.embed(features, sigma, cond)?;
            let params = self.affine.forward(&emb)?;
            let y = self.conv0.forward(features)?;
            let norm0 = self.norm0.modulated_silu(&params);
            let y = if halve {
                let y = layers::downsample2(&layers::normalize(&y, norm0)?, Filter::Box)?;
                self.conv1.forward(&y)?
            } else {
                self.conv1.after(&[&y], Some(norm0), Plus::Nothing)?
            };
            self.out.after(&[&y], Some(self.norm1.silu()), Plus::Nothing)
        })?;
        patches.flatten_from(1)?.mean(1)
    }

    /// Embedding of noise level and class, `[B, width]`. Without labels, of the level alone.
    fn embed(&self, features: &Value, sigma: &Tensor, cond: &Conditioning) -> Result<Value> {
        let like = features.tensor();
        let noise = (sigma.to_dtype(like.dtype())?.log()? * 0.25)?;
        let [cos, sin] = self.waves.forward(&noise)?;
        let mut emb = self.map_noise.forward(&features.constant(Tensor::cat(&[cos, sin], 1)?))?;
        if let (Some(map), Some(labels)) = (&self.map_label, &cond.labels) {
            let expected = [like.dim(0)?, self.config.label_dim];
            if labels.dims() != expected {
                bail!("labels are {:?}, expected {expected:?}", labels.shape());
            }
            // One-hot labels of K classes have variance 1/K; the embedding is of order one.
            let unit = (labels.to_dtype(like.dtype())? * (expected[1] as f64).sqrt())?;
            emb = layers::add(&emb, &map.forward(&features.constant(unit))?)?;
        }
        layers::silu(&emb)
    }
}
