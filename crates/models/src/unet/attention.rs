//! Self-attention over the pixels of a feature map, with a residual path around it.

use super::conv::{Conv, Norm, Resample};
use super::style::Style;
use crate::error::Result;
use crate::layout::Scope;
use kernels::tape::{Plus, Value, layers};

/// `y = (x + proj(attend(qkv(norm(x))))) · scale`.
#[derive(Debug)]
pub(crate) struct Attention {
    norm: Norm,
    qkv: Conv,
    proj: Conv,
    heads: usize,
    scale: f64,
}

impl Attention {
    /// Its tensors belong to the block that it ends, hence `norm2`.
    pub fn new(scope: &Scope<'_>, channels: usize, heads: usize, style: &Style) -> Result<Self> {
        let keep = Resample::Keep;
        let packed = [channels, 3 * channels, 1];
        let square = [channels, channels, 1];
        Ok(Self {
            norm: Norm::new(&scope.at("norm2"), channels, style.eps)?,
            qkv: Conv::new(&scope.at("qkv"), packed, keep, style.start_attention)?,
            proj: Conv::new(&scope.at("proj"), square, keep, style.start_zero)?,
            heads,
            scale: style.skip_scale,
        })
    }

    pub fn forward(&self, x: &Value) -> candle_core::Result<Value> {
        let qkv = self.qkv.after(&[x], Some(self.norm.plain()), Plus::Nothing)?;
        let attended = layers::attention(&qkv, self.heads)?;
        self.proj.after(&[&attended], None, Plus::Residual(x, self.scale))
    }
}
