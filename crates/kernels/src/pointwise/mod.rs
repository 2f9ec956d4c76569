//! Element-wise operations.

pub(super) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod kernel;
#[cfg(feature = "metal")]
mod metal;
#[cfg(test)]
mod tests;

use candle_core::{DType, Result, Tensor, bail};

use super::gpu::on_gpu;
use super::isa::Isa;
use super::operand::{check_kind, image};
use super::storage::has_kernel;

/// `(a + b) · scale`, for operands of the same shape.
///
/// # Errors
///
/// If the shapes differ.
pub fn add_scaled(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    if a.dims() != b.dims() {
        bail!("add_scaled: {:?} and {:?} differ", a.shape(), b.shape());
    }
    check_kind("add_scaled", &[("a", a), ("b", b)])?;
    on_gpu!(holds(&[a, b]) => add_scaled(a, b, scale));
    if has_kernel(&[a, b]) {
        let op = cpu::AddScaled { isa: Isa::detect(), scale };
        return a.contiguous()?.apply_op2(&b.contiguous()?, op);
    }
    (a + b)? * scale
}

/// Adds `c: [B, C]` to every pixel of `x: [B, C, H, W]`.
///
/// # Errors
///
/// If the shapes do not match or an image has no pixels.
pub fn add_channels(x: &Tensor, c: &Tensor) -> Result<Tensor> {
    let [batch, channels, height, width] = image("add_channels", "x", x)?;
    if c.dims() != [batch, channels] || height * width == 0 {
        bail!("add_channels: {:?} does not fit x {:?}", c.shape(), x.shape());
    }
    check_kind("add_channels", &[("x", x), ("c", c)])?;
    on_gpu!(holds(&[x, c]) => add_channels(x, c));
    if has_kernel(&[x, c]) {
        let op = cpu::AddChannels { isa: Isa::detect() };
        return x.contiguous()?.apply_op2(&c.contiguous()?, op);
    }
    x.broadcast_add(&c.reshape((batch, channels, 1, 1))?)
}

/// `x / (1 + e⁻ˣ)`, stable for any `x`.
///
/// # Errors
///
/// If `x` has integers, or the device fails.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    check_kind("silu", &[("x", x)])?;
    on_gpu!(holds(&[x]) => silu(x));
    if has_kernel(&[x]) {
        return x.contiguous()?.apply_op1(cpu::Silu { isa: Isa::detect() });
    }
    x.silu()
}

/// `1 / (1 + e⁻ˣ)`, stable for any `x`.
///
/// # Errors
///
/// If `x` has integers, or the device fails.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    check_kind("sigmoid", &[("x", x)])?;
    on_gpu!(holds(&[x]) => sigmoid(x));
    if is_exact(x) {
        return x.contiguous()?.apply_op1(cpu::Sigmoid);
    }
    ((x * 0.5)?.tanh()? * 0.5)? + 0.5
}

/// `ln(1 + eˣ)`, stable for any `x`: the loss of the logit `−x` with label 1.
///
/// # Errors
///
/// If `x` has integers, or the device fails.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    check_kind("softplus", &[("x", x)])?;
    on_gpu!(holds(&[x]) => softplus(x));
    if is_exact(x) {
        return x.contiguous()?.apply_op1(cpu::Softplus);
    }
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// True if [`sigmoid`] and [`softplus`] are computed in f64.
fn is_exact(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}
