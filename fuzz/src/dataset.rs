//! EDM's data sets: zip files of PNG files and their labels.

use std::sync::OnceLock;

use data::edm_zip::{from_bytes, to_bytes};
use data::png::{Image, encode};

use crate::around::zip;

/// Largest number of bytes of pixels from a file of this size; `data` has the same bound.
fn expanded(size: usize) -> usize {
    (64 << 20) + 1000 * size
}

/// Target for zip files of data sets, and for the JSON of labels, in a zip file with two images.
///
/// Properties of an accepted file: its pixels are within a bound that grows with the file, and it
/// is the same data set after it is written and read again.
pub fn dataset(data: &[u8]) {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| {
        let image = Image { channels: 1, height: 1, width: 1, pixels: vec![7] };
        encode(&image).expect("one pixel can be written")
    });
    check(data);
    check(&zip(&[("dataset.json", data), ("0/a.png", image), ("0/b.png", image)]));
}

fn check(bytes: &[u8]) {
    let Ok(set) = from_bytes(bytes, "input") else { return };
    assert!(set.pixels().len() <= expanded(bytes.len()), "{} pixels", set.pixels().len());
    let written = to_bytes(&set).expect("what was read can be written");
    let read = from_bytes(&written, "written").expect("we wrote it");
    assert_eq!(read, set);
}
