//! Joining images along their channels.

use candle_core::{Result, Tensor, bail};

use super::gpu::on_gpu;
use super::storage::has_kernel;

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "metal")]
mod metal;
#[cfg(test)]
mod tests;

/// `[B, C, H, W]` and `[B, D, H, W]` joined into `[B, C + D, H, W]`.
///
/// # Errors
///
/// If batch or image size differ.
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (batch, _, height, width) = a.dims4()?;
    if (batch, height, width)
        != b.dims4().map(|(batch, _, height, width)| (batch, height, width))?
    {
        bail!("concat_channels: {:?} and {:?} differ in more than channels", a.shape(), b.shape());
    }
    on_gpu!(holds(&[a, b]) => concat(a, b));
    if has_kernel(&[a, b]) {
        return a.contiguous()?.apply_op2(&b.contiguous()?, cpu::Concat);
    }
    Tensor::cat(&[a, b], 1)
}
