//! Resampling of images by a factor of two, with EDM's separable filters.

use candle_core::{Result, Tensor};

/// A one-dimensional filter `f`; images are filtered by the outer product `f fᵀ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `[1, 1] / 2`: nearest neighbour up, mean down (DDPM++).
    Box,
    /// `[1, 3, 3, 1] / 8` (NCSN++).
    Tent,
}

impl Filter {
    /// The taps, which sum to 1.
    pub fn taps(self) -> &'static [f64] {
        match self {
            Self::Box => &[0.5, 0.5],
            Self::Tent => &[0.125, 0.375, 0.375, 0.125],
        }
    }

    /// Zeros on each side of a row so that downsampling halves its length.
    fn padding(self) -> usize {
        (self.taps().len() - 1) / 2
    }
}

/// Halves height and width (odd ones are rounded down): along each axis, with `p = (len f − 1)/2`,
///
/// ```text
/// y[i] = Σ_u f[u] · x[2i + u − p],    x = 0 outside.
/// ```
///
/// `[B, C, H, W]` becomes `[B, C, H/2, W/2]`.
///
/// # Errors
///
/// If `x` has not four dimensions.
pub fn downsample2(x: &Tensor, filter: Filter) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    composed_down(x, filter, filter.padding(), [height / 2, width / 2])
}

/// [`downsample2`] without the padding: `[B, C, H, W]` becomes `[B, C, (H − len f)/2 + 1, …]`.
///
/// It follows [`conv2d_padded`](super::conv2d_padded), which has already padded for the filter.
///
/// # Errors
///
/// If `x` has not four dimensions or is smaller than the filter.
pub fn downsample2_valid(x: &Tensor, filter: Filter) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let length = filter.taps().len();
    if height < length || width < length {
        candle_core::bail!("downsample2_valid: {:?} is smaller than the filter", x.shape());
    }
    composed_down(x, filter, 0, [(height - length) / 2 + 1, (width - length) / 2 + 1])
}

/// Doubles height and width: four times the transpose of [`downsample2`], so along each axis
///
/// ```text
/// y[i] = 2 Σ_j f[i − 2j + p] · x[j]
/// ```
///
/// which is `x` repeated for [`Filter::Box`]. `[B, C, H, W]` becomes `[B, C, 2H, 2W]`.
///
/// # Errors
///
/// If `x` has not four dimensions.
pub fn upsample2(x: &Tensor, filter: Filter) -> Result<Tensor> {
    composed_up(x, filter)
}

/// [`downsample2`] as two matrix products: any device, any dtype.
pub(super) fn composed_down(
    x: &Tensor,
    filter: Filter,
    padding: usize,
    [height, width]: [usize; 2],
) -> Result<Tensor> {
    let (_, _, height_in, width_in) = x.dims4()?;
    let rows = matrix(filter, padding, height, height_in, x)?;
    let cols = matrix(filter, padding, width, width_in, x)?;
    separable(x, &rows, &cols)
}

/// [`upsample2`] as two matrix products: any device, any dtype.
pub(super) fn composed_up(x: &Tensor, filter: Filter) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let up = |n: usize| matrix(filter, filter.padding(), n, 2 * n, x)?.t()? * 2.0;
    separable(x, &up(height)?, &up(width)?)
}

/// `rows · x · colsᵀ` on every image.
fn separable(x: &Tensor, rows: &Tensor, cols: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (height_out, width_out) = (rows.dim(0)?, cols.dim(0)?);
    let x = x.reshape((batch * channels * height, width))?.matmul(&cols.t()?)?;
    let x = x.reshape((batch * channels, height, width_out))?.transpose(1, 2)?.contiguous()?;
    let x = x.reshape((batch * channels * width_out, height))?.matmul(&rows.t()?)?;
    x.reshape((batch * channels, width_out, height_out))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((batch, channels, height_out, width_out))
}

/// The matrix `[out, len]` of downsampling one axis, in the dtype and on the device of `like`.
fn matrix(filter: Filter, padding: usize, out: usize, len: usize, like: &Tensor) -> Result<Tensor> {
    let mut matrix = vec![0f64; out * len];
    for i in 0..out {
        for (u, tap) in filter.taps().iter().enumerate() {
            match (2 * i + u).checked_sub(padding) {
                Some(j) if j < len => matrix[i * len + j] = *tap,
                _ => (),
            }
        }
    }
    Tensor::from_vec(matrix, (out, len), like.device())?.to_dtype(like.dtype())
}
