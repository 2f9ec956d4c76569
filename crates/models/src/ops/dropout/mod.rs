//! Dropout whose masks are a pure function of seed, layer and position.

use candle_core::{DType, Result, Tensor, bail};

use super::noise::NoiseStream;
use crate::DropoutKey;

/// Number of the noise stream of layer 0's masks; the other layers' follow it.
pub const DROPOUT_STREAM_BASE: u32 = 0x4000_0000;

/// Inverted dropout: zeroes each number with probability `p`, divides the others by `1 − p`.
///
/// Sample `i` of the batch is at position `key.position + i` of the noise stream
/// `DROPOUT_STREAM_BASE + layer`, so a mask does not depend on how a batch is split. An element is
/// dropped where its uniform number is below `p`.
///
/// # Shapes
///
/// - `x`: `[B, ...]`, returns the same
///
/// # Errors
///
/// If `p` is not in `[0, 1)`.
pub fn dropout(x: &Tensor, p: f64, key: DropoutKey, layer: u32) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        bail!("dropout: probability {p} is not in [0, 1)");
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let mask = mask(x, p, key, layer)?;
    x * mask
}

/// `0` where dropped, `1 / (1 − p)` elsewhere, in the dtype and on the device of `x`.
fn mask(x: &Tensor, p: f64, key: DropoutKey, layer: u32) -> Result<Tensor> {
    let stream = NoiseStream::new(key.seed, DROPOUT_STREAM_BASE + layer);
    let uniform = stream.uniform_tensor(key.position, x.shape(), x.device())?;
    uniform.ge(p as f32)?.to_dtype(DType::F32)?.affine(1.0 / (1.0 - p), 0.0)?.to_dtype(x.dtype())
}
