//! Group normalization, plain and fused with the operations that follow it in networks.

pub(super) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod kernel;
#[cfg(feature = "metal")]
mod metal;
pub(super) mod moments;
pub(super) mod normal;

#[cfg(test)]
mod tests;

use candle_core::{D, Result, Tensor, bail};

use super::gpu::on_gpu;
use super::isa::Isa;
use super::operand::{check_kind, image};
use super::storage::has_kernel;

/// Group normalization (Wu and He 2018, arXiv:1803.08494).
///
/// ```text
/// y = weight_c · (x − mean) / √(var + eps) + bias_c
/// ```
///
/// with mean and (biased) variance over the pixels of the `C / groups` channels of a group.
///
/// # Shapes
///
/// - `x`: `[B, C, H, W]`; `weight`, `bias`: `[C]`; `groups` divides `C`
/// - returns: the shape of `x`
///
/// # Errors
///
/// If the shapes do not fit.
pub fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    check("group_norm", x, weight, bias, groups)?;
    on_gpu!(holds(&[x, weight, bias]) => group_norm(x, weight, bias, groups, eps, false));
    if has_kernel(&[x, weight, bias]) {
        return fused(Isa::detect(), x, weight, bias, groups, eps, false);
    }
    composed(x, weight, bias, groups, eps)
}

/// `silu(`[`group_norm`]`)`, with `silu(z) = z / (1 + e⁻ᶻ)`. Shapes and errors as for
/// [`group_norm`].
pub fn group_norm_silu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    check("group_norm_silu", x, weight, bias, groups)?;
    on_gpu!(holds(&[x, weight, bias]) => group_norm(x, weight, bias, groups, eps, true));
    if has_kernel(&[x, weight, bias]) {
        return fused(Isa::detect(), x, weight, bias, groups, eps, true);
    }
    composed(x, weight, bias, groups, eps)?.silu()
}

/// `silu((scale + 1) · group_norm(x) + shift)`: ADM's adaptive group normalization (Dhariwal and
/// Nichol 2021, arXiv:2105.05233, Sec. 3.1).
///
/// # Shapes
///
/// As [`group_norm`]; `scale`, `shift`: `[B, C]`.
///
/// # Errors
///
/// If the shapes do not fit.
pub fn group_norm_scale_shift_silu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    const NAME: &str = "group_norm_scale_shift_silu";
    check(NAME, x, weight, bias, groups)?;
    check_modulation(NAME, x, scale, shift)?;
    // One affine map per sample: (scale + 1)(weight x̂ + bias) + shift.
    let operands = [x, weight, bias, scale, shift];
    on_gpu!(holds(&operands) => group_norm(
        x,
        &scaled(weight, scale)?,
        &(scaled(bias, scale)? + shift)?,
        groups,
        eps,
        true,
    ));
    if has_kernel(&operands) {
        let (weight, bias) = (scaled(weight, scale)?, (scaled(bias, scale)? + shift)?);
        return fused(Isa::detect(), x, &weight, &bias, groups, eps, true);
    }
    composed_modulated(x, weight, bias, scale, shift, groups, eps)
}

/// `(scale + 1) · x` for every sample, `[B, C]`, where `x` is `[C]`.
fn scaled(x: &Tensor, scale: &Tensor) -> Result<Tensor> {
    (scale + 1.0)?.broadcast_mul(x)
}

/// With the kernels of this crate, on the CPU in f32; weight and bias are `[C]` or `[B, C]`.
fn fused(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    let op = cpu::GroupNorm::new(isa, groups, eps, silu);
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// [`group_norm`] with candle's operations, for any device and type.
fn composed(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, eps: f64) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let grouped = x.reshape((batch, groups, channels / groups * height * width))?;
    let centered = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
    let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centered.broadcast_div(&(variance + eps)?.sqrt()?)?.reshape(x.shape())?;
    normal.broadcast_mul(&weight.reshape((1, (), 1, 1))?)?.broadcast_add(&bias.reshape((
        1,
        (),
        1,
        1,
    ))?)
}

/// [`group_norm_scale_shift_silu`] with candle's operations.
fn composed_modulated(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    scale: &Tensor,
    shift: &Tensor,
    groups: usize,
    eps: f64,
) -> Result<Tensor> {
    let (batch, channels) = scale.dims2()?;
    let scale = (scale.reshape((batch, channels, 1, 1))? + 1.0)?;
    let shift = shift.reshape((batch, channels, 1, 1))?;
    let normal = composed(x, weight, bias, groups, eps)?;
    normal.broadcast_mul(&scale)?.broadcast_add(&shift)?.silu()
}

fn check(op: &str, x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize) -> Result<()> {
    let [_, channels, height, width] = image(op, "x", x)?;
    if channels * height * width == 0 {
        bail!("{op}: x {:?} is empty", x.shape());
    }
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!("{op}: {groups} groups do not divide the {channels} channels");
    }
    for (name, tensor) in [("weight", weight), ("bias", bias)] {
        if tensor.dims() != [channels] {
            bail!("{op}: {name} {:?} does not fit x {:?}", tensor.shape(), x.shape());
        }
    }
    check_kind(op, &[("x", x), ("weight", weight), ("bias", bias)])
}

fn check_modulation(op: &str, x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<()> {
    for (name, tensor) in [("scale", scale), ("shift", shift)] {
        if tensor.dims() != &x.dims()[..2] {
            bail!("{op}: {name} {:?} does not fit x {:?}", tensor.shape(), x.shape());
        }
    }
    check_kind(op, &[("x", x), ("scale", scale), ("shift", shift)])
}
