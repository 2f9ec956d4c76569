//! Resampling of images by a factor of two, with EDM's separable filters.

pub(super) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod kernel;
#[cfg(feature = "metal")]
mod metal;

#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor, bail};

use self::cpu::{Direction, Resample};
use self::kernel::Plan;
use super::gpu::on_gpu;
use super::isa::Isa;
use super::operand::{check_kind, image};
use super::storage::has_kernel;

/// A one-dimensional filter `f`; images are filtered by the outer product `f fᵀ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `[1, 1] / 2`: nearest neighbor up, mean down (DDPM++).
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

    /// Zeros on each side of a row with which downsampling halves its length.
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
/// If `x` does not have four dimensions, or is too small.
pub fn downsample2(x: &Tensor, filter: Filter) -> Result<Tensor> {
    resample(x, downsampling2(x, filter)?)
}

/// [`downsample2`] as an operation.
pub(crate) fn downsampling2(x: &Tensor, filter: Filter) -> Result<Resample> {
    let [_, _, height, width] = image("downsample2", "x", x)?;
    check_kind("downsample2", &[("x", x)])?;
    let plan = Plan {
        filter,
        padding: filter.padding(),
        large: [height, width],
        small: [height / 2, width / 2],
    };
    Ok(Resample { isa: Isa::detect(), direction: Direction::Down, plan })
}

/// [`downsample2`] without the padding: `[B, C, H, W]` becomes `[B, C, (H − len f)/2 + 1, …]`.
///
/// For use after [`conv2d_padded`](super::conv2d_padded), which pads for both operations.
///
/// # Errors
///
/// If `x` does not have four dimensions, or is smaller than the filter.
pub fn downsample2_valid(x: &Tensor, filter: Filter) -> Result<Tensor> {
    resample(x, downsampling2_valid(x, filter)?)
}

/// [`downsample2_valid`] as an operation.
pub(crate) fn downsampling2_valid(x: &Tensor, filter: Filter) -> Result<Resample> {
    let [_, _, height, width] = image("downsample2_valid", "x", x)?;
    check_kind("downsample2_valid", &[("x", x)])?;
    let length = filter.taps().len();
    if height < length || width < length {
        bail!("downsample2_valid: x {:?} is smaller than the filter", x.shape());
    }
    let small = [(height - length) / 2 + 1, (width - length) / 2 + 1];
    let plan = Plan { filter, padding: 0, large: [height, width], small };
    Ok(Resample { isa: Isa::detect(), direction: Direction::Down, plan })
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
/// If `x` does not have four dimensions, or is too small.
pub fn upsample2(x: &Tensor, filter: Filter) -> Result<Tensor> {
    resample(x, upsampling2(x, filter)?)
}

/// [`upsample2`] as an operation.
pub(crate) fn upsampling2(x: &Tensor, filter: Filter) -> Result<Resample> {
    let [_, _, height, width] = image("upsample2", "x", x)?;
    check_kind("upsample2", &[("x", x)])?;
    let plan = Plan {
        filter,
        padding: filter.padding(),
        large: [2 * height, 2 * width],
        small: [height, width],
    };
    Ok(Resample { isa: Isa::detect(), direction: Direction::Up, plan })
}

fn resample(x: &Tensor, op: Resample) -> Result<Tensor> {
    if op.plan.small.contains(&0) {
        bail!("x {:?} is too small to be resampled by two", x.shape());
    }
    on_gpu!(holds(&[x]) => resample(x, op.direction, op.plan));
    if has_kernel(&[x]) {
        return x.contiguous()?.apply_op1(op);
    }
    composed(x, op.direction, &op.plan)
}

/// The same as two matrix products, for any device and type.
fn composed(x: &Tensor, direction: Direction, plan: &Plan) -> Result<Tensor> {
    let (rows, columns) = (matrix(plan, 0, x)?, matrix(plan, 1, x)?);
    match direction {
        Direction::Down => separable(x, &rows, &columns),
        Direction::Up => separable(x, &(rows.t()? * 2.0)?, &(columns.t()? * 2.0)?),
    }
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

/// The matrix `[small, large]` of downsampling axis `axis`, with the type and device of `like`.
fn matrix(plan: &Plan, axis: usize, like: &Tensor) -> Result<Tensor> {
    let (small, large) = (plan.small[axis], plan.large[axis]);
    let mut matrix = vec![0f64; small * large];
    for i in 0..small {
        for (u, tap) in plan.filter.taps().iter().enumerate() {
            match (2 * i + u).checked_sub(plan.padding) {
                Some(j) if j < large => matrix[i * large + j] = *tap,
                _ => (),
            }
        }
    }
    Tensor::from_vec(matrix, (small, large), like.device())?.to_dtype(like.dtype())
}
