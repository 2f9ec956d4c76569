//! Concatenation of images along their channels.

pub(super) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "metal")]
mod metal;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor, bail};

use super::gpu::on_gpu;
use super::operand::{check_kind, image};
use super::storage::has_kernel;

/// Concatenates `[B, C, H, W]` and `[B, D, H, W]` to `[B, C + D, H, W]`.
///
/// # Errors
///
/// If batch size or image size differ.
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let [a_dims, b_dims] = [image("concat_channels", "a", a)?, image("concat_channels", "b", b)?];
    check_kind("concat_channels", &[("a", a), ("b", b)])?;
    let but_channels = |[batch, _, height, width]: [usize; 4]| [batch, height, width];
    if but_channels(a_dims) != but_channels(b_dims) {
        bail!("concat_channels: {:?} and {:?} differ in more than channels", a.shape(), b.shape());
    }
    on_gpu!(holds(&[a, b]) => concat(a, b));
    if has_kernel(&[a, b]) {
        return a.contiguous()?.apply_op2(&b.contiguous()?, cpu::Concat);
    }
    Tensor::cat(&[a, b], 1)
}
