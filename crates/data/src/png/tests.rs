//! Round trips of the encoding, rejected files, and the layout of grids.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::{GridStyle, Image, decode, encode, grid, grid_with};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn images_round_trip(height in 1usize..20, width in 1usize..20, rgb: bool, seed: u8) {
        let channels = if rgb { 3 } else { 1 };
        let pixels = (0..height * width * channels).map(|it| (it * 37) as u8 ^ seed).collect();
        let image = Image { channels, height, width, pixels };
        let back = decode(&encode(&image).unwrap(), 400, "x").unwrap();
        prop_assert_eq!(&back, &image);
        prop_assert_eq!(Image::from_planar(height, width, &image.planar()), image);
    }

    #[test]
    fn damaged_files_do_not_panic(at: prop::sample::Index, byte: u8, keep: prop::sample::Index) {
        let image = Image { channels: 1, height: 4, width: 4, pixels: (0..16).collect() };
        let mut bytes = encode(&image).unwrap();
        let keep = keep.index(bytes.len());
        prop_assert!(decode(&bytes[..keep], 1 << 16, "x").is_err(), "cut to {}", keep);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes, 1 << 16, "x");
    }
}

#[test]
fn planar_separates_the_channels() {
    let image = Image { channels: 3, height: 1, width: 2, pixels: vec![1, 2, 3, 4, 5, 6] };
    assert_eq!(image.planar(), [1, 4, 2, 5, 3, 6]);
}

#[test]
fn rejects_too_many_pixels_before_decoding() {
    let image = Image { channels: 1, height: 30, width: 30, pixels: vec![0; 900] };
    let bytes = encode(&image).unwrap();
    let message = decode(&bytes, 899, "big.png").unwrap_err().to_string();
    assert!(message.starts_with("big.png: 30x30 pixels, at most 899 allowed"), "{message}");
}

#[test]
fn rejects_sixteen_bits_and_transparency() {
    for (color, depth) in [
        (::png::ColorType::Rgba, ::png::BitDepth::Eight),
        (::png::ColorType::Grayscale, ::png::BitDepth::Sixteen),
    ] {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let size = color.samples() * if depth == ::png::BitDepth::Sixteen { 2 } else { 1 };
        encoder.write_header().unwrap().write_image_data(&vec![7; size]).unwrap();
        let message = decode(&bytes, 1, "odd.png").unwrap_err().to_string();
        assert!(message.contains("save it as an 8-bit"), "{message}");
    }
}

#[test]
fn a_grid_is_filled_row_by_row() {
    let levels: Vec<f32> = [10u8, 20, 30].iter().map(|&it| f32::from(it) / 127.5 - 1.0).collect();
    let images = Tensor::from_vec(levels, (3, 1, 1, 1), &Device::Cpu).unwrap();
    let plain = decode(&grid(&images, 2).unwrap(), 100, "x").unwrap();
    assert_eq!((plain.shape(), plain.pixels), ([1, 2, 2], vec![10, 20, 30, 0]));

    let style = GridStyle { columns: 2, upscale: 2, padding: 1, background: 9 };
    let sheet = decode(&grid_with(&images, &style).unwrap(), 100, "x").unwrap();
    assert_eq!(sheet.shape(), [1, 7, 7]);
    #[rustfmt::skip]
    assert_eq!(sheet.pixels, [
        9,  9,  9, 9,  9,  9, 9,
        9, 10, 10, 9, 20, 20, 9,
        9, 10, 10, 9, 20, 20, 9,
        9,  9,  9, 9,  9,  9, 9,
        9, 30, 30, 9,  9,  9, 9,
        9, 30, 30, 9,  9,  9, 9,
        9,  9,  9, 9,  9,  9, 9,
    ]);
}

#[test]
fn a_grid_keeps_channels_together() {
    let values = vec![-1f32, 1.0, 0.0, 1.0, -1.0, 0.0]; // [1, 3, 1, 2]
    let images = Tensor::from_vec(values, (1, 3, 1, 2), &Device::Cpu).unwrap();
    let sheet = decode(&grid(&images, 8).unwrap(), 100, "x").unwrap();
    assert_eq!((sheet.shape(), sheet.pixels), ([3, 1, 2], vec![0, 128, 0, 255, 255, 128]));
    let none = Tensor::zeros((0, 1, 2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    assert!(grid(&none, 8).is_err());
}
