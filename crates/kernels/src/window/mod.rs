//! Layers of feature networks: convolutions and pools with any window, stride and padding.
//!
//! They have no gradients, because feature networks are not trained here.

mod layer;

mod joined;

mod composed;
#[cfg(target_arch = "x86_64")]
mod gathered;
mod pool;
#[cfg(target_arch = "x86_64")]
mod spread;
mod target;
#[cfg(target_arch = "x86_64")]
mod tiled;
mod unrolled;

#[cfg(test)]
mod tests;

use candle_core::{DType, Result, Tensor, bail};

use super::operand::image;

pub use joined::Joined;
pub use layer::ConvRelu;

/// A rectangle of pixels that moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width, in pixels.
    pub size: [usize; 2],
    /// Distance between neighboring positions of the window in pixels, in both directions.
    pub stride: usize,
    /// Pixels beyond the edge: above and below, left and right.
    pub padding: [usize; 2],
}

impl Window {
    /// A square window with this stride, without padding.
    pub fn valid(size: usize, stride: usize) -> Self {
        Self { size: [size; 2], stride, padding: [0; 2] }
    }

    /// A window of odd sides with stride 1, padded to keep the size of the image.
    pub fn same(size: [usize; 2]) -> Self {
        Self { size, stride: 1, padding: size.map(|it| it / 2) }
    }

    /// Height and width of the output, for images of this height and width.
    ///
    /// # Errors
    ///
    /// If the window does not fit the image, or the padding could contain the whole window.
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

/// Reduction of the elements under a window.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pool {
    Max,
    Average,
}

/// Elements of images `[B, C, H, W]`.
#[derive(Clone, Copy)]
struct Images<'a> {
    numbers: &'a [f32],
    batch: usize,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    sides: [usize; 2],
    places: [usize; 2],
    window: Window,
}

impl Sizes {
    fn pixels(&self) -> usize {
        self.sides[0] * self.sides[1]
    }

    fn outputs(&self) -> usize {
        self.places[0] * self.places[1]
    }

    /// Height and width with the padding on both sides.
    fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.sides[axis] + 2 * self.window.padding[axis])
    }

    /// Number of pixels along an axis that the window covers at output position `place`.
    fn covered(&self, axis: usize, place: usize) -> usize {
        let start = place * self.window.stride;
        let (padding, size) = (self.window.padding[axis], self.window.size[axis]);
        let first = start.saturating_sub(padding);
        (start + size).saturating_sub(padding).min(self.sides[axis]).saturating_sub(first)
    }
}

fn relu(y: &mut [f32]) {
    // Not `max`, which would drop NaN.
    y.iter_mut().for_each(|it| *it = if *it < 0.0 { 0.0 } else { *it });
}

/// The mean over all pixels: `[B, C, H, W]` to `[B, C]`.
///
/// # Errors
///
/// If `x` is not a batch of images.
pub fn mean_pixels(x: &Tensor) -> Result<Tensor> {
    image("mean_pixels", "x", x)?;
    let sum_type = match x.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    x.to_dtype(sum_type)?.flatten_from(2)?.mean(2)?.to_dtype(x.dtype())
}
