//! Grids: many images in one PNG file.

use candle_core::Tensor;

use super::{Image, encode};
use crate::{Error, to_u8};

/// Layout of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridStyle {
    /// Images in a row; 0 counts as 1.
    pub columns: usize,
    /// Side of the square that each pixel becomes; 0 counts as 1.
    pub upscale: usize,
    /// Pixels between images and around them, after upscaling.
    pub padding: usize,
    /// Brightness of the padding and of empty cells.
    pub background: u8,
}

impl GridStyle {
    /// Layout of `columns` images in a row, not upscaled, without padding.
    pub fn plain(columns: usize) -> Self {
        Self { columns, upscale: 1, padding: 0, background: 0 }
    }
}

/// Encodes images `[B, C, H, W]` in [-1, 1] as a PNG file, row by row, without padding.
///
/// # Errors
///
/// As [`grid_with`].
pub fn grid(images: &Tensor, columns: usize) -> Result<Vec<u8>, Error> {
    grid_with(images, &GridStyle::plain(columns))
}

/// Encodes images `[B, C, H, W]` in [-1, 1] as a PNG file, row by row; `C` is 1 (gray) or 3 (RGB).
///
/// NaN becomes black, as in [`to_u8`].
///
/// # Errors
///
/// If the tensor has another shape or no image, or the grid is too large for a PNG.
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
