//! Joining images along their channels.

use candle_core::{Result, Tensor};

/// `[B, C, H, W]` and `[B, D, H, W]` joined into `[B, C + D, H, W]`.
///
/// # Errors
///
/// If batch or image size differ.
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[a, b], 1)
}
