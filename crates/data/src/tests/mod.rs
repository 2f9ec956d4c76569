//! Tests: each reader against its writer, every kind of bad file, the order, the batches.

mod bad_input;
mod batches;
mod formats;
mod published;

use std::path::Path;

use crate::{Dataset, Labels};

/// Makes a data set of pseudorandom bytes, in which image `i` has class `i % 3`.
fn sample(images: usize, shape: [usize; 3]) -> Dataset {
    let size: usize = shape.iter().product();
    let pixels = (0..images * size).map(|it| ((it * 2_654_435_761) >> 7) as u8).collect();
    let of_image = (0..images as u32).map(|it| it % 3).collect();
    Dataset::new("sample", shape, pixels, Labels::Classes { classes: 3, of_image }).unwrap()
}

/// Writes files and the folders that they are in.
fn write_all(root: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Formats an error with its sources, as a program would print it.
fn report(error: &crate::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
