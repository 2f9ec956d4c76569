//! Images as bytes: the one conversion of this workspace from pixel values to what a file holds.

use candle_core::{DType, Result as TensorResult, Tensor};

use crate::Error;

/// Half of the range of a byte: `x = byte / 127.5 - 1` maps 0..=255 to [-1, 1].
const HALF_RANGE: f64 = 127.5;

/// Pixel value of a byte, in [-1, 1].
pub(crate) fn from_byte(byte: u8) -> f32 {
    f32::from(byte) / HALF_RANGE as f32 - 1.0
}

/// Converts images to bytes, `round((x + 1) · 127.5)` within 0..=255, in the tensor's own order.
///
/// NaN becomes 0, so that a broken sample can still be looked at. For a metric use
/// [`round_to_bytes`], which rejects NaN.
///
/// # Errors
///
/// If the tensor cannot be brought to the host.
pub fn to_u8(images: &Tensor) -> Result<Vec<u8>, Error> {
    let bytes = byte_values(&images.to_dtype(DType::F32)?)?.flatten_all()?.to_vec1::<f32>()?;
    // `as u8` takes NaN to 0.
    Ok(bytes.into_iter().map(|byte| byte as u8).collect())
}

/// Rounds images `[B, ...]` to the values that they have when read back from an 8-bit file.
///
/// # Errors
///
/// If a pixel is NaN, or a tensor operation fails.
pub fn round_to_bytes(images: &Tensor) -> Result<Tensor, Error> {
    if let Some(image) = first_nan(images)? {
        return Err(Error::NotANumber { image });
    }
    Ok(byte_values(images)?.affine(1.0 / HALF_RANGE, -1.0)?)
}

/// `round((x + 1) · 127.5)` within 0..=255; NaN stays.
fn byte_values(images: &Tensor) -> TensorResult<Tensor> {
    ((images.clamp(-1.0, 1.0)? + 1.0)? * HALF_RANGE)?.round()
}

/// Index of the first image with a NaN.
fn first_nan(images: &Tensor) -> TensorResult<Option<usize>> {
    if images.elem_count() == 0 {
        return Ok(None);
    }
    let is_nan = images.ne(images)?.reshape((images.dim(0)?, ()))?.max(1)?;
    Ok(is_nan.to_vec1::<u8>()?.into_iter().position(|it| it != 0))
}
