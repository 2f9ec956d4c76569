//! Many images on one sheet.

use candle_core::Tensor;

use super::{Image, encode};
use crate::{Error, to_u8};

/// How the sheet of a grid looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridStyle {
    /// Images in a row; at least 1 is taken.
    pub columns: usize,
    /// Each pixel becomes a square of this side; at least 1 is taken.
    pub upscale: usize,
    /// Pixels between images and around them, after upscaling.
    pub padding: usize,
    /// Brightness of the padding and of cells that are left over.
    pub background: u8,
}

impl GridStyle {
    /// Images as they are, `columns` in a row, without padding.
    pub fn plain(columns: usize) -> Self {
        Self { columns, upscale: 1, padding: 0, background: 0 }
    }
}

/// A PNG file of images `[B, C, H, W]` in [-1, 1], row by row, without padding.
///
/// # Errors
///
/// As [`grid_with`].
pub fn grid(images: &Tensor, columns: usize) -> Result<Vec<u8>, Error> {
    grid_with(images, &GridStyle::plain(columns))
}

/// A PNG file of images `[B, C, H, W]` in [-1, 1], row by row; `C` is 1 (grey) or 3 (RGB).
///
/// # Errors
///
/// If the tensor has not this shape, has no image, or makes a sheet that PNG cannot hold.
pub fn grid_with(images: &Tensor, style: &GridStyle) -> Result<Vec<u8>, Error> {
    let (count, channels, height, width) = images.dims4()?;
    let bytes = to_u8(images)?;
    let GridStyle { upscale, padding, background, .. } = *style;
    let (columns, upscale) = (style.columns.clamp(1, count.max(1)), upscale.max(1));
    let (cell_height, cell_width) = (height * upscale + padding, width * upscale + padding);
    let (sheet_height, sheet_width) =
        (count.div_ceil(columns) * cell_height + padding, columns * cell_width + padding);

    let mut sheet = vec![background; sheet_height * sheet_width * channels];
    for image in 0..count {
        let top = image / columns * cell_height + padding;
        let left = image % columns * cell_width + padding;
        for y in 0..height * upscale {
            for x in 0..width * upscale {
                let to = ((top + y) * sheet_width + left + x) * channels;
                for c in 0..channels {
                    let row = (image * channels + c) * height + y / upscale;
                    sheet[to + c] = bytes[row * width + x / upscale];
                }
            }
        }
    }
    encode(&Image { channels, height: sheet_height, width: sheet_width, pixels: sheet })
}
