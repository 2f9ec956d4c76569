//! Fully connected layers.

use candle_core::{Result, Tensor};

/// `x · weightᵀ + bias`.
///
/// # Shapes
///
/// - `x`: `[B, N]`; `weight`: `[M, N]`; `bias`: `[M]`
/// - returns: `[B, M]`
///
/// # Errors
///
/// If the shapes do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}
