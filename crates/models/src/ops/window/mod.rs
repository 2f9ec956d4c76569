//! What feature networks are made of: convolutions and pools with any window, stride and padding.
//!
//! There are no gradients: these networks look at images, nobody trains through them.

use candle_core::{DType, Result, Tensor, bail};

use super::isa::Isa;
use super::operand::{check_kind, image};
use super::storage::has_kernel;

mod cpu;
#[cfg(test)]
mod tests;

/// A rectangle of pixels that moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width, in pixels.
    pub size: [usize; 2],
    /// Pixels from a place to the next, in both directions.
    pub stride: usize,
    /// Pixels beyond the edge above and below, and left and right.
    pub padding: [usize; 2],
}

impl Window {
    /// A square that moves by `stride` and stays within the image.
    pub fn valid(size: usize, stride: usize) -> Self {
        Self { size: [size; 2], stride, padding: [0; 2] }
    }

    /// A rectangle of odd sides that moves by one, as often as there are pixels.
    pub fn same(size: [usize; 2]) -> Self {
        Self { size, stride: 1, padding: size.map(|it| it / 2) }
    }

    /// Places above each other and side by side, in images of this height and width.
    ///
    /// # Errors
    ///
    /// If there is none, or the padding could hold the whole window.
    fn places(&self, what: &str, sides: [usize; 2]) -> Result<[usize; 2]> {
        let mut places = [0; 2];
        for (i, places) in places.iter_mut().enumerate() {
            let (size, padding) = (self.size[i], self.padding[i]);
            let room = (sides[i] + 2 * padding).checked_sub(size);
            match room {
                Some(room) if 0 < self.stride && padding < size => *places = room / self.stride + 1,
                _ => bail!("{what}: {self:?} does not fit images of {sides:?}"),
            }
        }
        Ok(places)
    }
}

/// Convolution, bias, ReLU.
///
/// ```text
/// y[b, o, i, j] = max(0, bias[o] + Σ_{c,u,v} weight[o, c, u, v] · x[b, c, s i + u − p, s j + v − q])
/// ```
///
/// with the window's stride s and paddings p and q; beyond the edge x is zero.
///
/// # Shapes
///
/// - `x`: `[B, C, H, W]`; `weight`: `[O, C, h, w]`, the window's size; `bias`: `[O]`
/// - returns: `[B, O, H', W']` with `H' = ⌊(H + 2p − h)/s⌋ + 1`, `W' = ⌊(W + 2q − w)/s⌋ + 1`
///
/// # Errors
///
/// If the shapes do not fit each other or the window.
pub fn conv2d_relu(x: &Tensor, weight: &Tensor, bias: &Tensor, window: Window) -> Result<Tensor> {
    let [_, channels, height, width] = image("conv2d_relu", "x", x)?;
    window.places("conv2d_relu", [height, width])?;
    let [rows, columns] = window.size;
    let outputs = bias.elem_count();
    if weight.dims() != [outputs, channels, rows, columns] || bias.dims() != [outputs] {
        bail!(
            "conv2d_relu: weight {:?} and bias {:?} do not fit x {:?} and {window:?}",
            weight.shape(),
            bias.shape(),
            x.shape()
        );
    }
    check_kind("conv2d_relu", &[("x", x), ("weight", weight), ("bias", bias)])?;
    match has_kernel(&[x, weight, bias]) && outputs * channels != 0 {
        true => cpu::conv2d_relu(Isa::detect(), x, weight, bias, window),
        false => composed_conv2d_relu(x, weight, bias, window),
    }
}

/// The largest number under the window; beyond the edge there is none.
///
/// # Shapes
///
/// - `x`: `[B, C, H, W]`; returns `[B, C, H', W']` as [`conv2d_relu`]
///
/// # Errors
///
/// If the window does not fit.
pub fn max_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    pool(x, window, Pool::Max)
}

/// The mean of the numbers under the window; what is beyond the edge does not count.
///
/// # Shapes
///
/// - `x`: `[B, C, H, W]`; returns `[B, C, H', W']` as [`conv2d_relu`]
///
/// # Errors
///
/// If the window does not fit.
pub fn average_pool(x: &Tensor, window: Window) -> Result<Tensor> {
    pool(x, window, Pool::Average)
}

/// What is made of the numbers under a window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pool {
    Max,
    Average,
}

fn pool(x: &Tensor, window: Window, pool: Pool) -> Result<Tensor> {
    let [_, _, height, width] = image("pool", "x", x)?;
    window.places("pool", [height, width])?;
    match has_kernel(&[x]) {
        true => cpu::pool(x, window, pool),
        false => composed_pool(x, window, pool),
    }
}

/// `x` with so much of a value beyond its edges.
fn padded(x: &Tensor, [rows, columns]: [usize; 2], value: f64) -> Result<Tensor> {
    let inner = Tensor::ones_like(x)?;
    let pad = |x: &Tensor| x.pad_with_zeros(2, rows, rows)?.pad_with_zeros(3, columns, columns);
    if value == 0.0 {
        return pad(x);
    }
    let mask = pad(&inner)?.ne(0.0)?;
    let filled = pad(x)?;
    let fill = filled.zeros_like()?.affine(0.0, value)?;
    mask.where_cond(&filled, &fill)
}

fn composed_conv2d_relu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: Window,
) -> Result<Tensor> {
    let y = padded(x, window.padding, 0.0)?.conv2d(weight, 0, window.stride, 1, 1)?;
    y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?.relu()
}

fn composed_pool(x: &Tensor, window: Window, pool: Pool) -> Result<Tensor> {
    let [height, width] = window.places("pool", [x.dim(2)?, x.dim(3)?])?;
    let (fill, ones) = match pool {
        Pool::Max => (f64::NEG_INFINITY, None),
        Pool::Average => (0.0, Some(padded(&x.ones_like()?, window.padding, 0.0)?)),
    };
    let x = padded(x, window.padding, fill)?;
    let places = |start: usize, count: usize| -> Result<Tensor> {
        let places: Vec<u32> = (0..count).map(|it| (start + it * window.stride) as u32).collect();
        Tensor::new(places, x.device())
    };
    let under = |x: &Tensor, u: usize, v: usize| {
        x.index_select(&places(u, height)?, 2)?.index_select(&places(v, width)?, 3)
    };
    let mut result = under(&x, 0, 0)?;
    let mut count = ones.as_ref().map(|ones| under(ones, 0, 0)).transpose()?;
    for at in 1..window.size[0] * window.size[1] {
        let (u, v) = (at / window.size[1], at % window.size[1]);
        let next = under(&x, u, v)?;
        result = match pool {
            Pool::Max => result.maximum(&next)?,
            Pool::Average => (result + next)?,
        };
        if let (Some(total), Some(ones)) = (&count, &ones) {
            count = Some((total + under(ones, u, v)?)?);
        }
    }
    match count {
        Some(count) => result / count,
        None => Ok(result),
    }
}

/// The mean over all pixels: `[B, C, H, W]` to `[B, C]`.
///
/// # Errors
///
/// If `x` is no batch of images.
pub fn mean_pixels(x: &Tensor) -> Result<Tensor> {
    image("mean_pixels", "x", x)?;
    let sum_type = match x.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    x.to_dtype(sum_type)?.flatten_from(2)?.mean(2)?.to_dtype(x.dtype())
}
