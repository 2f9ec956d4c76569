//! The kernels without candle's graph, for the networks' own reverse pass ([`crate::tape`]).
//!
//! Operands are detached f32 tensors on the CPU. Where a kernel leaves something for its backward
//! pass, that is within the operation's own struct; forward passes go through the public functions
//! or candle's `apply_op_no_bwd`.

use candle_core::{Result, Shape, Tensor};

use super::isa::Isa;
use super::noise::NoiseStream;
use super::storage::has_kernel;

pub(crate) use super::attention::cpu::Attention;
pub(crate) use super::concat::cpu::part;
pub(crate) use super::conv2d::cpu::Conv2d;
pub(crate) use super::dropout::cpu::Dropout;
pub(crate) use super::dropout::masks;
pub(crate) use super::group_norm::cpu::GroupNorm;
pub(crate) use super::group_norm::moments::ChannelMoments;
pub(crate) use super::norm_conv::{
    Added, Backward, Images, InputGradients, Norm, NormConv, Operands, Part,
};
pub(crate) use super::pointwise::cpu::{AddChannels, AddScaled, Silu};
pub(crate) use super::resample::cpu::Resample;
pub(crate) use super::resample::{downsampling2, downsampling2_valid, upsampling2};

/// Whether the kernels take this operand.
pub(crate) fn takes(x: &Tensor) -> bool {
    has_kernel(&[x])
}

/// The convolution, with the processor's best kernels; so are all below.
pub(crate) fn conv2d() -> Conv2d {
    Conv2d { isa: Isa::detect() }
}

/// A convolution with the operations before and after it.
pub(crate) fn norm_conv(operands: &Operands<'_>, measure: bool) -> Result<NormConv> {
    super::norm_conv::norm_conv(Isa::detect(), operands, measure)
}

/// Its gradient with respect to the weight.
pub(crate) fn weight_gradient(pass: &Backward<'_>, weight: &Shape) -> Result<Tensor> {
    super::norm_conv::weight_gradient(Isa::detect(), pass, weight)
}

/// Its gradients with respect to the images and the norm's parameters.
pub(crate) fn input_gradients(
    pass: &Backward<'_>,
    weight: &Tensor,
    accumulated: [Option<(Tensor, f64)>; 2],
) -> Result<InputGradients> {
    super::norm_conv::input_gradients(Isa::detect(), pass, weight, accumulated)
}

/// Group normalisation, with silu after it if so wanted.
pub(crate) fn group_norm(groups: usize, eps: f64, silu: bool) -> GroupNorm {
    GroupNorm::new(Isa::detect(), groups, eps, silu)
}

/// Attention; `keep` if a backward pass may follow.
pub(crate) fn attention(heads: usize, keep: bool) -> Attention {
    Attention::new(Isa::detect(), heads, keep)
}

/// Dropout of a batch whose first sample is at `position` of `stream`.
pub(crate) fn dropout(p: f64, stream: NoiseStream, position: u64) -> Dropout {
    Dropout::new(Isa::detect(), p, stream, position)
}

/// `(a + b) · scale`.
pub(crate) fn add_scaled(scale: f64) -> AddScaled {
    AddScaled { isa: Isa::detect(), scale }
}

/// `x` with a factor for each sample, `[B]`, plus perhaps another tensor of the same shape with its
/// factors.
pub(crate) fn mix_samples(
    x: (&Tensor, &Tensor),
    more: Option<(&Tensor, &Tensor)>,
) -> Result<Tensor> {
    super::pointwise::cpu::mix_samples(Isa::detect(), x, more)
}

/// The sum of two tensors of the same shape, each times its factor.
pub(crate) fn weighted_sum(terms: [(&Tensor, f64); 2]) -> Result<Tensor> {
    super::pointwise::cpu::weighted_sum(Isa::detect(), terms)
}

/// Adding a number to each channel of each sample.
pub(crate) fn add_channels() -> AddChannels {
    AddChannels { isa: Isa::detect() }
}

/// `x / (1 + e⁻ˣ)`.
pub(crate) fn silu() -> Silu {
    Silu { isa: Isa::detect() }
}
