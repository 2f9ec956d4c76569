//! Operations that treat every number of an image alike.

use candle_core::{Result, Tensor, bail};

/// `(a + b) · scale`, both of the same shape.
///
/// # Errors
///
/// If the shapes differ.
pub fn add_scaled(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    if a.dims() != b.dims() {
        bail!("add_scaled: {:?} and {:?} differ", a.shape(), b.shape());
    }
    (a + b)? * scale
}

/// Adds `c: [B, C]` to every pixel of `x: [B, C, H, W]`.
///
/// # Errors
///
/// If the shapes do not fit.
pub fn add_channels(x: &Tensor, c: &Tensor) -> Result<Tensor> {
    let (batch, channels, _, _) = x.dims4()?;
    if c.dims() != [batch, channels] {
        bail!("add_channels: {:?} does not fit x {:?}", c.shape(), x.shape());
    }
    x.broadcast_add(&c.reshape((batch, channels, 1, 1))?)
}

/// `x / (1 + e⁻ˣ)`.
///
/// # Errors
///
/// If the device fails.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x.silu()
}

/// `1 / (1 + e⁻ˣ)`, stable for any `x`.
///
/// # Errors
///
/// If the device fails.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? * 0.5)? + 0.5
}

/// `ln(1 + eˣ)`, stable for any `x`: the loss of a logit `−x` whose label is 1.
///
/// # Errors
///
/// If the device fails.
pub fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}
