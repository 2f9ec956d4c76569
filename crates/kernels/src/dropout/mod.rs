//! Dropout whose masks are a pure function of seed, layer and position.

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
use super::noise::{NoiseStream, check_positions};
use super::operand::check_kind;
use super::storage::has_kernel;

/// Noise stream of layer 0's masks. Layer `i` has stream `DROPOUT_STREAM_BASE + i`.
pub const DROPOUT_STREAM_BASE: u32 = 0x4000_0000;

/// Position of a batch's dropout masks in the noise streams of [`crate::noise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey {
    /// Seed of the run. Each layer of a network has a separate stream.
    pub seed: u64,
    /// Position of the batch's first sample.
    pub position: u64,
}

/// Inverted dropout: zeroes each element with probability `p`, and divides the others by `1 − p`.
///
/// Sample `i` of the batch is at position `key.position + i` of the noise stream
/// `DROPOUT_STREAM_BASE + layer`, so a mask does not depend on how a batch is split. An element is
/// dropped if its uniform number is below `p`.
///
/// # Shapes
///
/// - `x`: `[B, ...]`, returns the same
///
/// # Errors
///
/// If `p` is not in `[0, 1)`, or `layer` or a sample is beyond the last stream or position.
pub fn dropout(x: &Tensor, p: f64, key: DropoutKey, layer: u32) -> Result<Tensor> {
    let stream = masks(x, p, key, layer)?;
    if p == 0.0 {
        return Ok(x.clone());
    }
    on_gpu!(holds(&[x]) => dropout(x, p, stream, key.position));
    if has_kernel(&[x]) {
        fused(Isa::detect(), x, p, stream, key.position)
    } else {
        composed(x, p, stream, key.position)
    }
}

/// The noise stream of a layer's masks.
pub(crate) fn masks(x: &Tensor, p: f64, key: DropoutKey, layer: u32) -> Result<NoiseStream> {
    if !(0.0..1.0).contains(&p) {
        bail!("dropout: probability {p} is not in [0, 1)");
    }
    check_kind("dropout", &[("x", x)])?;
    check_positions(key.position, x.dims().first().copied().unwrap_or(1))?;
    match DROPOUT_STREAM_BASE.checked_add(layer) {
        Some(stream) => Ok(NoiseStream::new(key.seed, stream)),
        None => bail!("dropout: layer {layer} is beyond the last noise stream"),
    }
}

/// With the kernel of this crate, on the CPU in f32.
fn fused(isa: Isa, x: &Tensor, p: f64, stream: NoiseStream, position: u64) -> Result<Tensor> {
    x.contiguous()?.apply_op1(cpu::Dropout::new(isa, p, stream, position))
}

/// The same with candle's operations, for any device and type.
fn composed(x: &Tensor, p: f64, stream: NoiseStream, position: u64) -> Result<Tensor> {
    let uniform = stream.uniform_tensor(position, x.shape(), x.device())?;
    let keep = uniform.ge(p as f32)?.to_dtype(DType::F32)?;
    x * (keep * (1.0 / (1.0 - p)))?.to_dtype(x.dtype())?
}
