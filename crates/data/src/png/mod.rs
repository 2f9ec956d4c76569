//! PNG images of 8-bit gray or RGB, and grids of images.

mod grid;
#[cfg(test)]
mod tests;

use std::io::Cursor;

use ::png::{BitDepth, ColorType, Decoder, Encoder, Limits, Transformations};

use crate::Error;

pub use grid::{GridStyle, grid, grid_with};

/// Remedy for an image that is not accepted.
const REMEDY: &str = "save it as an 8-bit gray or RGB PNG without transparency";

/// A decoded image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// 1 (gray) or 3 (RGB).
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[H, W, C]`.
    pub pixels: Vec<u8>,
}

impl Image {
    /// Channels, height and width.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// Pixels in the order of networks, `[C, H, W]`.
    pub fn planar(&self) -> Vec<u8> {
        let Self { channels, ref pixels, .. } = *self;
        (0..channels).flat_map(|c| pixels.iter().skip(c).step_by(channels)).copied().collect()
    }

    /// Makes an image of planes `[C, H, W]`, where `C` is `planes.len() / (height · width)`.
    pub fn from_planar(height: usize, width: usize, planes: &[u8]) -> Self {
        let area = (height * width).max(1);
        let channels = planes.len() / area;
        let pixel = |at: usize| (0..channels).map(move |c| planes[c * area + at]);
        Self { channels, height, width, pixels: (0..height * width).flat_map(pixel).collect() }
    }
}

/// Decodes a PNG of at most `max_pixels` pixels; palettes and fewer than 8 bits are expanded.
///
/// `file` names the bytes in errors.
///
/// # Errors
///
/// If the bytes are not a complete PNG, or the image is larger than allowed, has 16 bits per
/// channel, or has transparency.
pub fn decode(bytes: &[u8], max_pixels: usize, file: &str) -> Result<Image, Error> {
    let broken = |error: ::png::DecodingError| malformed(file, format!("not a PNG ({error})"));
    // Room for a row of pixels, its filter byte and the decoder's own buffers.
    let limits = Limits { bytes: max_pixels.saturating_mul(4).saturating_add(1 << 20) };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(broken)?;

    let (width, height) = reader.info().size();
    let (width, height) = (width as usize, height as usize);
    if width.checked_mul(height).is_none_or(|it| max_pixels < it) {
        return Err(malformed(
            file,
            format!("{width}x{height} pixels, at most {max_pixels} allowed"),
        ));
    }
    let channels = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => 1,
        (ColorType::Rgb, BitDepth::Eight) => 3,
        (color, depth) => {
            return Err(malformed(file, format!("color type {color:?} with {depth:?} bits")));
        }
    };
    let mut pixels = vec![0; width * height * channels];
    if reader.output_buffer_size() != Some(pixels.len()) {
        return Err(malformed(file, "rows of an unexpected length".to_owned()));
    }
    reader.next_frame(&mut pixels).map_err(broken)?;
    // A file cut short after its pixels is an error, too.
    reader.finish().map_err(broken)?;
    Ok(Image { channels, height, width, pixels })
}

/// Encodes an image as a PNG file.
///
/// # Errors
///
/// If the image has no pixels, channels other than 1 or 3, or bytes that do not fit its shape.
pub fn encode(image: &Image) -> Result<Vec<u8>, Error> {
    let unfit = |problem: String| malformed("the image to write", problem);
    let color = match image.channels {
        1 => ColorType::Grayscale,
        3 => ColorType::Rgb,
        other => return Err(unfit(format!("{other} channels"))),
    };
    let size = |side: usize| u32::try_from(side).map_err(|_| unfit(format!("{side} pixels wide")));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, size(image.width)?, size(image.height)?);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    let fault = |error: ::png::EncodingError| unfit(error.to_string());
    let mut writer = encoder.write_header().map_err(fault)?;
    writer.write_image_data(&image.pixels).map_err(fault)?;
    writer.finish().map_err(fault)?;
    Ok(bytes)
}

fn malformed(file: &str, problem: String) -> Error {
    Error::Malformed { file: file.to_owned(), problem, remedy: REMEDY }
}
