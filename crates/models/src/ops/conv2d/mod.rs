//! Convolution with stride 1.

use candle_core::{Result, Tensor, bail};

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
/// If the shapes do not fit or the kernel is not odd and square.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check(x, weight, bias)?;
    composed(x, weight, bias)
}

/// [`conv2d`] without bias and with `padding` zeros on every side instead of `k/2`.
///
/// Returns `[B, O, H + 2(padding − k/2), W + 2(padding − k/2)]`. Where a convolution is fused with
/// a resampling filter (EDM's `fused_resample`), the convolution pads for both.
///
/// # Errors
///
/// As [`conv2d`], and if `padding < k/2`.
pub fn conv2d_padded(x: &Tensor, weight: &Tensor, padding: usize) -> Result<Tensor> {
    check(x, weight, None)?;
    let Some(extra) = padding.checked_sub(weight.dim(3)? / 2) else {
        bail!("conv2d_padded: padding {padding} is less than half the kernel {:?}", weight.shape())
    };
    let x = x.pad_with_zeros(2, extra, extra)?.pad_with_zeros(3, extra, extra)?;
    conv2d(&x, weight, None)
}

/// The same of plain candle operations: any device, any dtype.
pub(super) fn composed(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.conv2d(weight, weight.dim(3)? / 2, 1, 1, 1)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

fn check(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    let (_, channels, _, _) = x.dims4()?;
    let (out, channels_in, rows, cols) = weight.dims4()?;
    if channels != channels_in || rows != cols || rows % 2 == 0 {
        bail!("conv2d: weight {:?} does not fit x {:?}", weight.shape(), x.shape());
    }
    match bias {
        Some(bias) if bias.dims() != [out] => {
            bail!("conv2d: bias {:?} does not fit weight {:?}", bias.shape(), weight.shape())
        }
        _ => Ok(()),
    }
}
