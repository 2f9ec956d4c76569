//! The same, composed of candle's operations: the reference of the tests, and the path of devices
//! and types without a kernel.

use candle_core::{Result, Tensor};

use super::{Pool, Window};
use crate::shape::pad_pixels;

/// `x` with `value` around it: rows above and below, columns left and right.
fn padded(x: &Tensor, sides: [usize; 2], value: f64) -> Result<Tensor> {
    let inner = Tensor::ones_like(x)?;
    if value == 0.0 {
        return pad_pixels(x, sides);
    }
    let mask = pad_pixels(&inner, sides)?.ne(0.0)?;
    let filled = pad_pixels(x, sides)?;
    let fill = filled.zeros_like()?.affine(0.0, value)?;
    mask.where_cond(&filled, &fill)
}

pub(super) fn conv2d_relu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: Window,
) -> Result<Tensor> {
    let y = padded(x, window.padding, 0.0)?.conv2d(weight, 0, window.stride, 1, 1)?;
    y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?.relu()
}

pub(super) fn pool(x: &Tensor, window: Window, pool: Pool) -> Result<Tensor> {
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
