//! Convolution fused with the operations around it, one image at a time while it is in the cache.
//!
//! ```text
//! y = (conv(norm(x)) + bias + added) · factor
//! ```
//!
//! The images `x` are concatenated and normalized as the convolution reads them, and the added term
//! is summed as the output is written. The backward pass applies the derivative of the norm to each
//! image in the same way. Neither the concatenated nor the normalized images exist in memory.
//!
//! [`crate::tape`] records this layer as one step. Elsewhere the operations run one by one, and the
//! tests compare this layer with them.

use candle_core::Tensor;

use crate::group_norm::normal::Normal;

mod forward;
mod images;
mod input_gradients;
mod kernel;
mod shared;
#[cfg(test)]
mod tests;
mod weight_gradient;

pub(crate) use forward::{NormConv, norm_conv};
pub(crate) use images::{Images, Part};
pub(crate) use input_gradients::input_gradients;
pub(crate) use weight_gradient::weight_gradient;

/// Operands of [`norm_conv`].
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// Images `[B, C, H, W]`.
    pub images: &'a Images,
    /// Group norm of the images.
    pub norm: Option<Norm<'a>>,
    /// Weight of the convolution, `[O, C, k, k]`.
    pub weight: &'a Tensor,
    /// Bias of the convolution, `[O]`.
    pub bias: &'a Tensor,
    /// Term added to the output.
    pub added: Added<'a>,
}

/// A group norm, followed by SiLU if `silu` is set.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    /// Scale, `[C]`, or `[B, C]` with one for each sample.
    pub weight: &'a Tensor,
    /// Shift, of the same shape.
    pub bias: &'a Tensor,
    /// Number of groups of channels.
    pub groups: usize,
    /// Term added to the variance.
    pub eps: f64,
    /// Whether SiLU follows.
    pub silu: bool,
}

/// Term added to the output of a convolution.
#[derive(Clone, Copy)]
pub(crate) enum Added<'a> {
    /// No term.
    Nothing,
    /// `[B, O]`, added to every pixel.
    Channels(&'a Tensor),
    /// Images of the output's shape. The sum is multiplied by the factor.
    Residual(&'a Tensor, f64),
}

/// Inputs of the backward pass of [`norm_conv`].
#[derive(Clone, Copy)]
pub(crate) struct Backward<'a> {
    /// Images of the forward pass.
    pub images: &'a Images,
    /// Statistics of the norm, from the forward pass: [`NormConv::normal`].
    pub normal: Option<&'a Normal>,
    /// Gradient with respect to the output, without `factor`.
    pub grad: &'a Tensor,
    /// Factor of the gradient; that of [`Added::Residual`] is part of it.
    pub factor: f64,
}
