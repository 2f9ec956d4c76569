//! Small perceptrons behind the same traits as the U-Nets.
//!
//! For toy problems of a few dimensions, on which a run takes seconds: the quickstart and tests.

use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use crate::denoiser::{Conditioning, Denoiser, LogRatio};
use crate::edm::precond::{Precond, Preconditioner};
use crate::error;
use crate::layout::{Layout, Scope};
use crate::params::{ParamSet, Params};
use crate::unet::config::check_positive;
use crate::unet::conv::{Linear, Start};
use crate::unet::embedding::Waves;
use kernels::tape::{self, Value, layers};

/// Sizes of a perceptron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MlpConfig {
    /// Dimensions of a sample.
    pub dim: usize,
    /// Units of each hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Classes; zero means unconditional.
    pub label_dim: usize,
    /// Standard deviation of the data, in data units.
    pub sigma_data: f64,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { dim: 2, width: 128, depth: 3, label_dim: 0, sigma_data: 0.5 }
    }
}

impl MlpConfig {
    /// Initial weights of a denoiser, a function of the seed.
    ///
    /// # Errors
    ///
    /// If a size is out of range.
    pub fn init(&self, seed: u64) -> error::Result<ParamSet> {
        Layout::of(|scope| self.trunk(scope, self.dim))?.init(seed)
    }

    /// The denoiser over these tensors.
    ///
    /// # Errors
    ///
    /// If a size is out of range, or naming a tensor that is missing or of another shape.
    pub fn build(&self, params: &Params) -> error::Result<Mlp> {
        Ok(Mlp(self.trunk(&Scope::root(params), self.dim)?))
    }

    /// Initial weights of a discriminator, a function of the seed.
    ///
    /// # Errors
    ///
    /// If a size is out of range.
    pub fn init_ratio(&self, seed: u64) -> error::Result<ParamSet> {
        Layout::of(|scope| self.trunk(scope, 1))?.init(seed)
    }

    /// The discriminator over these tensors.
    ///
    /// # Errors
    ///
    /// If a size is out of range, or naming a tensor that is missing or of another shape.
    pub fn build_ratio(&self, params: &Params) -> error::Result<MlpRatio> {
        Ok(MlpRatio(self.trunk(&Scope::root(params), 1)?))
    }

    fn trunk(&self, scope: &Scope<'_>, outputs: usize) -> error::Result<Trunk> {
        for (option, value) in [("dim", self.dim), ("width", self.width), ("depth", self.depth)] {
            check_positive(option, value)?;
        }
        Trunk::new(&scope.at("model"), self, outputs)
    }
}

/// A denoiser of `[B, N]`, preconditioned as EDM's.
#[derive(Debug)]
pub struct Mlp(Trunk);

impl Denoiser for Mlp {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        let sigma = sigma.to_dtype(x.dtype())?;
        let c = self.0.precond.coefficients(&sigma)?;
        let [c_skip, c_out] = [c.c_skip, c.c_out].map(|c| c.unsqueeze(1));
        let raw = self.0.forward(x, &sigma, cond)?;
        x.broadcast_mul(&c_skip?)? + raw.broadcast_mul(&c_out?)?
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

/// A discriminator of `[B, N]`.
#[derive(Debug)]
pub struct MlpRatio(Trunk);

impl LogRatio for MlpRatio {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        self.0.forward(x, &sigma.to_dtype(x.dtype())?, cond)?.squeeze(1)
    }
}

/// `h ← h + silu(W h + E e)` in every hidden layer, with `e` the embedding of level and class.
#[derive(Debug)]
struct Trunk {
    config: MlpConfig,
    precond: Preconditioner,
    waves: Waves,
    map_noise: Linear,
    map_label: Option<Linear>,
    input: Linear,
    /// Of the activations, and of the embedding.
    hidden: Vec<[Linear; 2]>,
    output: Linear,
}

impl Trunk {
    /// Frequencies of the embedding of `ln(σ)/4`, which spans about ±1.5: 1/2, 1, 2, ..., 16.
    const FREQUENCIES: i32 = 6;
    /// Gain of the last layer: at first the denoiser is `c_skip x`, and a logit is zero.
    const GAIN_OUT: f64 = 1e-2;

    fn new(scope: &Scope<'_>, config: &MlpConfig, outputs: usize) -> error::Result<Self> {
        let &MlpConfig { dim, width, depth, label_dim, sigma_data } = config;
        let start = Start::Xavier(1.0);
        let linear = |name: String, sizes, start| Linear::new(&scope.at(name), sizes, start);
        let map_label = match label_dim {
            0 => None,
            classes => Some(Linear::unbiased(&scope.at("map_label"), [classes, width], start)?),
        };
        let hidden = (0..depth).map(|i| {
            let of_emb = Linear::unbiased(&scope.at(format!("emb{i}")), [width, width], start);
            Ok([linear(format!("hidden{i}"), [width, width], start)?, of_emb?])
        });
        let noise_channels = 2 * Self::FREQUENCIES as usize;
        Ok(Self {
            config: config.clone(),
            precond: Preconditioner::new(Precond::default(), sigma_data),
            waves: Waves::Positional((-1..Self::FREQUENCIES - 1).map(|k| 2f64.powi(k)).collect()),
            map_noise: linear("map_noise".into(), [noise_channels, width], start)?,
            map_label,
            input: linear("input".into(), [dim, width], start)?,
            hidden: hidden.collect::<error::Result<_>>()?,
            output: linear("output".into(), [width, outputs], Start::Xavier(Self::GAIN_OUT))?,
        })
    }

    /// `x: [B, N]` at `sigma: [B]` to `[B, outputs]`.
    fn forward(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        let (batch, dim) = x.dims2()?;
        if dim != self.config.dim || sigma.dims() != [batch] {
            bail!(
                "x is {:?} and sigma {:?}: this network takes [B, {}] and [B]",
                x.shape(),
                sigma.shape(),
                self.config.dim
            );
        }
        let c = self.precond.coefficients(sigma)?;
        let input = x.broadcast_mul(&c.c_in.unsqueeze(1)?)?;
        tape::run(&input, &[Some(&c.c_noise), cond.labels.as_ref()], |input| {
            let emb = self.embed(input, &c.c_noise, cond)?;
            let mut h = self.input.forward(input)?;
            for [of_h, of_emb] in &self.hidden {
                let step = layers::add(&of_h.forward(&h)?, &of_emb.forward(&emb)?)?;
                h = layers::add(&h, &layers::silu(&step)?)?;
            }
            self.output.forward(&h)
        })
    }

    /// Embedding of noise level and class, `[B, width]`.
    fn embed(&self, x: &Value, noise: &Tensor, cond: &Conditioning) -> Result<Value> {
        let [cos, sin] = self.waves.forward(noise)?;
        let mut emb = self.map_noise.forward(&x.constant(Tensor::cat(&[cos, sin], 1)?))?;
        let expected = [noise.dim(0)?, self.config.label_dim];
        match (&self.map_label, &cond.labels) {
            (None, None) => (),
            (Some(map), Some(labels)) if labels.dims() == expected => {
                let unit = (labels.to_dtype(noise.dtype())? * (expected[1] as f64).sqrt())?;
                emb = layers::add(&emb, &map.forward(&x.constant(unit))?)?;
            }
            (_, labels) => {
                let found = labels.as_ref().map(|labels| labels.dims());
                bail!("labels are {found:?}, this network takes [B, {}]", self.config.label_dim)
            }
        }
        layers::silu(&emb)
    }
}
