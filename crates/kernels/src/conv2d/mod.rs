//! Convolution with stride 1.

pub(super) mod cpu;
pub(super) mod geometry;
mod gpu;
mod padded;
mod portable;
pub(super) mod runner;
pub(super) mod source;
mod weight;
#[cfg(target_arch = "x86_64")]
pub(super) mod x86;

#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor, bail};

use super::gpu::on_gpu;
use super::isa::Isa;
use super::operand::{check_kind, image};
use super::storage::has_kernel;
#[cfg(feature = "cuda")]
use gpu::cuda;
#[cfg(feature = "metal")]
use gpu::metal;

/// Convolution (cross-correlation) with an odd square kernel, stride 1 and zero padding that keeps
/// the size.
///
/// ```text
/// y[b, o, i, j] = bias[o] + Σ_{c,u,v} weight[o, c, u, v] · x[b, c, i + u − k/2, j + v − k/2]
/// ```
///
/// # Shapes
///
/// - `x`: `[B, C, H, W]`; `weight`: `[O, C, k, k]` with `k` odd; `bias`: `[O]`
/// - returns: `[B, O, H, W]`
///
/// # Errors
///
/// If the shapes do not match, or the kernel is not odd and square.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check(x, weight, bias)?;
    on_gpu!(holds(&[x, weight, bias.unwrap_or(weight)]) => conv2d(x, weight, bias));
    match bias {
        Some(bias) if has_kernel(&[x, weight, bias]) => fused(Isa::detect(), x, weight, Some(bias)),
        None if has_kernel(&[x, weight]) => fused(Isa::detect(), x, weight, None),
        _ => composed(x, weight, bias),
    }
}

/// [`conv2d`] without bias and with `padding` zeros on every side instead of `k/2`.
///
/// Returns `[B, O, H + 2(padding − k/2), W + 2(padding − k/2)]`. A convolution that is fused with a
/// resampling filter (EDM's `fused_resample`) pads for both.
///
/// # Errors
///
/// As for [`conv2d`], and if `padding` is less than `k/2`, or more than the sides of the image and
/// the kernel together.
pub fn conv2d_padded(x: &Tensor, weight: &Tensor, padding: usize) -> Result<Tensor> {
    check(x, weight, None)?;
    let half = weight.dim(3)? / 2;
    let Some(extra) = padding.checked_sub(half) else {
        let shape = weight.shape();
        bail!(
            "conv2d_padded: padding {padding} is too small for weight {shape:?}, use {half} or more"
        )
    };
    let (height, width) = (x.dim(2)?, x.dim(3)?);
    if height.max(width) + weight.dim(3)? < extra {
        bail!("conv2d_padded: padding {padding} is too large for images of {height}x{width}");
    }
    let x = x.pad_with_zeros(2, extra, extra)?.pad_with_zeros(3, extra, extra)?;
    conv2d(&x, weight, None)
}

/// Runs the kernels of this crate, on the CPU in f32.
fn fused(isa: Isa, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, cpu::Conv2d { isa }),
        None => x.apply_op2(&weight, cpu::Conv2d { isa }),
    }
}

/// Runs plain candle operations, on any device and for any dtype.
fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.conv2d(weight, weight.dim(3)? / 2, 1, 1, 1)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    let [_, channels, height, width] = image("conv2d", "x", x)?;
    let &[out, channels_in, rows, cols] = weight.dims() else {
        bail!("conv2d: weight {:?} is not [O, C, k, k]", weight.shape())
    };
    if channels * height * width * out == 0 {
        bail!("conv2d: x {:?} or weight {:?} has no elements", x.shape(), weight.shape());
    }
    if channels != channels_in || rows != cols || rows.is_multiple_of(2) {
        bail!(
            "conv2d: weight {:?} does not match x {:?}: it must be [O, {channels}, k, k] with an odd k",
            weight.shape(),
            x.shape()
        );
    }
    match bias {
        Some(bias) if bias.dims() != [out] => {
            bail!("conv2d: bias {:?} does not match weight {:?}", bias.shape(), weight.shape())
        }
        _ => check_kind("conv2d", &[("x", x), ("weight", weight), ("bias", bias.unwrap_or(x))]),
    }
}
