//! IDX files of MNIST and its relatives.

use data::{Dataset, Labels, idx::encode};

/// Largest expansion of one byte of gzip (RFC 1951: a match of 258 bytes in two bits).
const MAX_RATIO: usize = 1032;

/// Bytes of the length of the image file.
const HEAD: usize = 2;

/// Target for two IDX files, plain or gzipped. The input is two bytes with the length of the first
/// file, big-endian, then the images, then the labels.
///
/// Properties of accepted files: there is a label for each image, the pixels are within the largest
/// expansion, and the data set is the same after it is written and read again.
pub fn idx(data: &[u8]) {
    let Some((&[high, low], files)) = data.split_first_chunk::<HEAD>() else { return };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (images, labels) = files.split_at(length.min(files.len()));
    let Ok(set) = Dataset::from_idx_bytes(images, labels) else { return };
    assert!(set.pixels().len() <= images.len() * MAX_RATIO, "{} pixels", set.pixels().len());
    let Labels::Classes { classes, of_image } = set.labels() else { panic!("no classes") };
    assert_eq!(of_image.len(), set.len());
    assert!(of_image.iter().all(|&label| (label as usize) < *classes));

    let [_, height, width] = set.shape();
    let bytes: Vec<u8> = of_image.iter().map(|&label| label as u8).collect();
    let images = encode(&[set.len(), height, width], set.pixels()).expect("it was read");
    let labels = encode(&[bytes.len()], &bytes).expect("it was read");
    let read = Dataset::from_idx_bytes(&images, &labels).expect("we wrote it");
    assert_eq!(read.content_hash(), set.content_hash());
    assert_eq!(read.class_names(), set.class_names());
}
