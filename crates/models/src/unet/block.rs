//! The residual block of both U-Nets (Karras et al. 2022, arXiv:2206.00364, Fig. 8 and Table 7).

use super::attention::Attention;
use super::conv::{Conv, Linear, Norm, Resample, Skip};
use super::style::Style;
use crate::error::Result;
use crate::layout::Scope;
use kernels::DropoutKey;
use kernels::tape::{Plus, Value, layers};

/// Position of a block in its network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub inputs: usize,
    pub outputs: usize,
    pub step: Step,
    /// Attention heads; zero means no attention.
    pub heads: usize,
    /// Number of the block in its network, which keys its dropout masks.
    pub layer: u32,
}

/// Change of resolution in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Keep,
    Up,
    Down,
}

/// Inputs that all blocks of a pass share.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// The conditioning vector, `[B, E]`.
    pub emb: &'a Value,
    pub dropout: Option<DropoutKey>,
}

/// Two convolutions with a residual path, conditioned on the embedding, then optional attention.
#[derive(Debug)]
pub(crate) struct Block {
    norm0: Norm,
    conv0: Conv,
    affine: Linear,
    adaptive_scale: bool,
    norm1: Norm,
    dropout: f64,
    layer: u32,
    conv1: Conv,
    skip: Skip,
    skip_scale: f64,
    attention: Option<Attention>,
}

impl Block {
    pub fn new(scope: &Scope<'_>, place: Place, style: &Style) -> Result<Self> {
        let Place { inputs, outputs, step, heads, layer } = place;
        let resample = match step {
            Step::Keep => Resample::Keep,
            Step::Up => Resample::Up(style.filter),
            Step::Down => Resample::Down(style.filter),
        };
        let skip = if inputs != outputs || (style.resample_proj && step != Step::Keep) {
            let sizes = [inputs, outputs, 1];
            Skip::Conv(Conv::new(&scope.at("skip"), sizes, resample, style.start)?)
        } else if step != Step::Keep {
            Skip::resample(&scope.at("skip"), resample)?
        } else {
            Skip::Identity
        };
        let affine = [style.emb_channels, outputs * if style.adaptive_scale { 2 } else { 1 }];
        let attention = match heads {
            0 => None,
            heads => Some(Attention::new(scope, outputs, heads, style)?),
        };
        let (sizes0, sizes1) = ([inputs, outputs, 3], [outputs, outputs, 3]);
        Ok(Self {
            norm0: Norm::new(&scope.at("norm0"), inputs, style.eps)?,
            conv0: Conv::new(&scope.at("conv0"), sizes0, resample, style.start)?,
            affine: Linear::new(&scope.at("affine"), affine, style.start)?,
            adaptive_scale: style.adaptive_scale,
            norm1: Norm::new(&scope.at("norm1"), outputs, style.eps)?,
            dropout: style.dropout,
            layer,
            conv1: Conv::new(&scope.at("conv1"), sizes1, Resample::Keep, style.start_zero)?,
            skip,
            skip_scale: style.skip_scale,
            attention,
        })
    }

    /// `x: [B, C, H, W]` to the block's channels and resolution.
    pub fn forward(&self, x: &[&Value], pass: Pass<'_>) -> candle_core::Result<Value> {
        let params = self.affine.forward(pass.emb)?;
        let (plus, norm1) = if self.adaptive_scale {
            (Plus::Nothing, self.norm1.modulated_silu(&params))
        } else {
            (Plus::Channels(&params), self.norm1.silu())
        };
        let y = self.conv0.after(x, Some(self.norm0.silu()), plus)?;
        let skip = self.skip.forward(x)?;
        let plus = Plus::Residual(&skip, self.skip_scale);
        let y = match pass.dropout {
            Some(key) if 0.0 < self.dropout => {
                let y =
                    layers::dropout(&layers::normalize(&y, norm1)?, self.dropout, key, self.layer)?;
                self.conv1.after(&[&y], None, plus)?
            }
            _ => self.conv1.after(&[&y], Some(norm1), plus)?,
        };
        match &self.attention {
            Some(attention) => attention.forward(&y),
            None => Ok(y),
        }
    }
}
