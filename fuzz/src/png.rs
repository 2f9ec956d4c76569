//! Pictures.

use data::png::{Image, decode, encode};

/// The most pixels that are asked for: enough for every kind of row, and quick.
const MAX_PIXELS: usize = 1 << 16;

/// PNG files.
///
/// Of a file that is accepted: it has no more pixels than were asked for and as many bytes as its
/// shape says; as planes and back it is the same; encoded again, it is decoded as the same picture.
pub fn png(data: &[u8]) {
    let Ok(image) = decode(data, MAX_PIXELS, "input") else { return };
    let [channels, height, width] = image.shape();
    assert!(matches!(channels, 1 | 3) && height * width <= MAX_PIXELS, "{:?}", image.shape());
    assert_eq!(image.pixels.len(), channels * height * width);
    assert_eq!(Image::from_planar(height, width, &image.planar()), image);
    let written = encode(&image).expect("what was read can be written");
    assert_eq!(decode(&written, MAX_PIXELS, "written").expect("we wrote it"), image);
}
