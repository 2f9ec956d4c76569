//! Self-attention over the pixels of an image.

pub(super) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "metal")]
mod metal;
mod softmax;

#[cfg(test)]
mod tests;

use candle_core::{D, Result, Tensor, bail};

use super::gpu::on_gpu;
use super::isa::Isa;
use super::operand::{check_kind, image};
use super::storage::has_kernel;

/// Self-attention over pixels, from a packed projection in EDM's order.
///
/// Channel `(h · C/heads + c) · 3 + j` of `qkv` is channel `c` of head `h` of the query (`j = 0`),
/// key (1) or value (2). With `q, k, v: [C/heads, H·W]` of one head,
///
/// ```text
/// y = v · softmax(qᵀ k / √(C/heads))ᵀ
/// ```
///
/// # Shapes
///
/// - `qkv`: `[B, 3C, H, W]`; `heads` divides `C`
/// - returns: `[B, C, H, W]`
///
/// # Errors
///
/// If the channels are not a multiple of `3 · heads`, or an image is empty.
pub fn attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let [_, packed, height, width] = image("attention", "qkv", qkv)?;
    check_kind("attention", &[("qkv", qkv)])?;
    if packed * height * width == 0 {
        bail!("attention: qkv {:?} is empty", qkv.shape());
    }
    if heads == 0 || !packed.is_multiple_of(heads.saturating_mul(3)) {
        bail!(
            "attention: {packed} channels cannot hold query, key and value of {heads} heads; pass a multiple of 3 · heads"
        );
    }
    on_gpu!(holds(&[qkv]) => attention(qkv, heads));
    if has_kernel(&[qkv]) {
        return fused(Isa::detect(), qkv, heads);
    }
    composed(qkv, heads)
}

/// With the kernels of this crate, on the CPU in f32.
fn fused(isa: Isa, qkv: &Tensor, heads: usize) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(cpu::Attention::new(isa, heads, qkv.track_op()))
}

/// The same with candle's operations, for any device and type.
fn composed(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, packed, height, width) = qkv.dims4()?;
    let channels = packed / 3;
    if batch == 0 {
        // candle does not compute the maximum of an empty tensor.
        return qkv.narrow(1, 0, channels);
    }
    let head = channels / heads;
    let qkv = qkv.reshape((batch * heads, head, 3, height * width))?;
    let part = |j: usize| qkv.narrow(2, j, 1)?.squeeze(2)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let logits = (q.transpose(1, 2)?.matmul(&k)? / (head as f64).sqrt())?;
    // The shift cancels in the quotient, so no gradient goes through it.
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let exp = shifted.exp()?;
    let weights = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
    v.matmul(&weights.transpose(1, 2)?)?.reshape((batch, channels, height, width))
}
