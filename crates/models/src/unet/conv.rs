//! The layers that hold weights: convolution (with resampling), group norm, linear map.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::layout::{Init, Scope};
use kernels::Filter;
use kernels::tape::{NormParams, Normalize, Plus, Value, layers};

/// Initial weights and biases of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// Glorot's uniform distribution times a gain, biases zero.
    Xavier(f64),
    /// He's uniform distribution, with a gain for weights and one for biases.
    KaimingUniform { weight: f64, bias: f64 },
    /// He's normal distribution times a gain, biases zero.
    KaimingNormal(f64),
}

impl Start {
    fn weight(self, fan_in: usize, fan_out: usize) -> Init {
        match self {
            Self::Xavier(gain) => Init::xavier_uniform(fan_in, fan_out, gain),
            Self::KaimingUniform { weight, .. } => Init::kaiming_uniform(fan_in, weight),
            Self::KaimingNormal(gain) => Init::kaiming_normal(fan_in, gain),
        }
    }

    fn bias(self, fan_in: usize) -> Init {
        match self {
            Self::KaimingUniform { bias, .. } => Init::kaiming_uniform(fan_in, bias),
            Self::Xavier(_) | Self::KaimingNormal(_) => Init::Constant(0.0),
        }
    }
}

/// Change of resolution in a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resample {
    /// Keeps it.
    Keep,
    /// Doubles it first.
    Up(Filter),
    /// Halves it first.
    Down(Filter),
    /// Convolves first, padding for the filter too, then halves it (EDM's `fused_resample`).
    FusedDown(Filter),
}

impl Resample {
    fn filter(self) -> Option<Filter> {
        match self {
            Self::Keep => None,
            Self::Up(filter) | Self::Down(filter) | Self::FusedDown(filter) => Some(filter),
        }
    }

    /// Applies it to `x` alone.
    fn forward(self, x: &Value) -> candle_core::Result<Value> {
        match self {
            Self::Keep => Ok(x.clone()),
            Self::Up(filter) => layers::upsample2(x, filter),
            Self::Down(filter) | Self::FusedDown(filter) => layers::downsample2(x, filter),
        }
    }

    /// Requests the filter `[1, 1, k, k]`, which EDM's files hold with every resampling layer.
    fn buffer(self, scope: &Scope<'_>) -> Result<()> {
        if let Some(filter) = self.filter() {
            let taps = filter.taps();
            let outer = taps.iter().flat_map(|a| taps.iter().map(move |b| a * b)).collect();
            let shape = [1, 1, taps.len(), taps.len()];
            scope.buffer("resample_filter", &shape, Init::Values(outer))?;
        }
        Ok(())
    }
}

/// A convolution of odd square kernel, same padding, after a change of resolution.
#[derive(Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    bias: Tensor,
    resample: Resample,
    kernel: usize,
}

impl Conv {
    pub fn new(
        scope: &Scope<'_>,
        [inputs, outputs, kernel]: [usize; 3],
        resample: Resample,
        start: Start,
    ) -> Result<Self> {
        let [fan_in, fan_out] = [inputs, outputs].map(|channels| channels * kernel * kernel);
        let shape = [outputs, inputs, kernel, kernel];
        let weight = scope.param("weight", &shape, start.weight(fan_in, fan_out))?;
        let bias = scope.param("bias", &[outputs], start.bias(fan_in))?;
        resample.buffer(scope)?;
        Ok(Self { weight, bias, resample, kernel })
    }

    /// `[B, I, H, W]` to `[B, O, H', W']`.
    pub fn forward(&self, x: &Value) -> candle_core::Result<Value> {
        self.after(&[x], None, Plus::Nothing)
    }

    /// `(conv(norm(x)) + plus) · factor`, of one value or two joined along the channels.
    pub fn after(
        &self,
        x: &[&Value],
        norm: Option<Normalize<'_>>,
        plus: Plus<'_>,
    ) -> candle_core::Result<Value> {
        if self.resample == Resample::Keep {
            return layers::norm_conv(x, norm, [&self.weight, &self.bias], plus);
        }
        let x = layers::join(x)?;
        let x = match norm {
            Some(norm) => layers::normalize(&x, norm)?,
            None => x,
        };
        let Resample::FusedDown(filter) = self.resample else {
            let x = self.resample.forward(&x)?;
            return layers::norm_conv(&[&x], None, [&self.weight, &self.bias], plus);
        };
        let padding = self.kernel / 2 + (filter.taps().len() - 1) / 2;
        let y = layers::conv2d_padded(&x, &self.weight, padding)?;
        let y = layers::add_bias(&layers::downsample2_valid(&y, filter)?, &self.bias)?;
        match plus {
            Plus::Nothing => Ok(y),
            Plus::Channels(channels) => layers::add_channels(&y, channels),
            Plus::Residual(residual, factor) => layers::add_scaled(&y, residual, factor),
        }
    }
}

/// The path around a block's convolutions.
#[derive(Debug)]
pub(crate) enum Skip {
    Identity,
    /// A change of resolution without weights.
    Resample(Resample),
    Conv(Conv),
}

impl Skip {
    /// A change of resolution and nothing else.
    pub fn resample(scope: &Scope<'_>, resample: Resample) -> Result<Self> {
        resample.buffer(scope)?;
        Ok(Self::Resample(resample))
    }

    pub fn forward(&self, x: &[&Value]) -> candle_core::Result<Value> {
        match self {
            Self::Identity => layers::join(x),
            Self::Resample(resample) => resample.forward(&layers::join(x)?),
            Self::Conv(conv) => conv.after(x, None, Plus::Nothing),
        }
    }
}

/// Group norm in groups of at least four channels, at most 32 groups.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    eps: f64,
}

impl Norm {
    pub fn new(scope: &Scope<'_>, channels: usize, eps: f64) -> Result<Self> {
        const MAX_GROUPS: usize = 32;
        const MIN_CHANNELS: usize = 4;
        let groups = MAX_GROUPS.min(channels / MIN_CHANNELS);
        if groups == 0 || !channels.is_multiple_of(groups) {
            let reason = format!("{channels} channels meet in a layer: no {groups} equal groups");
            return Err(Error::Option { option: "model_channels", reason });
        }
        let weight = scope.param("weight", &[channels], Init::Constant(1.0))?;
        let bias = scope.param("bias", &[channels], Init::Constant(0.0))?;
        Ok(Self { weight, bias, groups, eps })
    }

    /// The norm by itself.
    pub fn plain(&self) -> Normalize<'_> {
        Normalize { params: self.params(), silu: false, modulation: None }
    }

    /// `silu(norm(x))`.
    pub fn silu(&self) -> Normalize<'_> {
        Normalize { params: self.params(), silu: true, modulation: None }
    }

    /// `silu((scale + 1) · norm(x) + shift)`, with the scales and after them the shifts in
    /// `params: [B, 2C]`.
    pub fn modulated_silu<'a>(&'a self, params: &'a Value) -> Normalize<'a> {
        Normalize { params: self.params(), silu: true, modulation: Some(params) }
    }

    fn params(&self) -> NormParams<'_> {
        let &Self { ref weight, ref bias, groups, eps } = self;
        NormParams { weight, bias, groups, eps }
    }
}

/// `y = x Wᵀ + b` on `[B, N]`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub fn new(scope: &Scope<'_>, [inputs, outputs]: [usize; 2], start: Start) -> Result<Self> {
        let mut linear = Self::unbiased(scope, [inputs, outputs], start)?;
        linear.bias = Some(scope.param("bias", &[outputs], start.bias(inputs))?);
        Ok(linear)
    }

    pub fn unbiased(
        scope: &Scope<'_>,
        [inputs, outputs]: [usize; 2],
        start: Start,
    ) -> Result<Self> {
        let weight = scope.param("weight", &[outputs, inputs], start.weight(inputs, outputs))?;
        Ok(Self { weight, bias: None })
    }

    pub fn forward(&self, x: &Value) -> candle_core::Result<Value> {
        layers::linear(x, &self.weight, self.bias.as_ref())
    }
}
