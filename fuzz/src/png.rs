//! PNG images.

use data::png::{Image, decode, encode};

/// Largest number of pixels accepted: enough for every kind of row, and fast.
const MAX_PIXELS: usize = 1 << 16;

/// Target for PNG files.
///
/// Properties of an accepted file: it has at most the accepted pixels, its bytes match its shape,
/// and the image is the same after conversion to planes and back and after it is encoded and
/// decoded again.
pub fn png(data: &[u8]) {
    let Ok(image) = decode(data, MAX_PIXELS, "input") else { return };
    let [channels, height, width] = image.shape();
    assert!(matches!(channels, 1 | 3) && height * width <= MAX_PIXELS, "{:?}", image.shape());
    assert_eq!(image.pixels.len(), channels * height * width);
    assert_eq!(Image::from_planar(height, width, &image.planar()), image);
    let written = encode(&image).expect("what was read can be written");
    assert_eq!(decode(&written, MAX_PIXELS, "written").expect("we wrote it"), image);
}
