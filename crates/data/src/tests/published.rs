//! The test part of Fashion-MNIST in `assets/` against its published facts.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use crate::dataset::hex;
use crate::{Dataset, idx};

const IMAGES: &[u8] = include_bytes!("../../../../assets/fashion-mnist/t10k-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../../../assets/fashion-mnist/t10k-labels-idx1-ubyte.gz");

#[test]
fn the_embedded_files_hold_the_published_bytes() {
    for (file, published) in [(IMAGES, "5b4141f0"), (LABELS, "0402a96d")] {
        let mut bytes = Vec::new();
        GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        assert_eq!(&hex(&Sha256::digest(&bytes))[..8], published);
    }
}

#[test]
fn the_embedded_set_has_ten_balanced_named_classes() {
    let dataset = Dataset::from_idx_bytes(IMAGES, LABELS).unwrap();
    assert_eq!((dataset.len(), dataset.shape(), dataset.classes()), (10_000, [1, 28, 28], 10));
    assert_eq!(dataset.class_names(), idx::FASHION_MNIST_CLASSES);
    for class in 0..10 {
        let count = (0..dataset.len()).filter(|&it| dataset.label(it) == Some(class)).count();
        assert_eq!(count, 1000, "class {class}");
    }
    // The first test image is an ankle boot.
    assert_eq!(dataset.class_names()[dataset.label(0).unwrap() as usize], "Ankle boot");
    let mean = dataset.pixels().iter().map(|&it| f64::from(it)).sum::<f64>()
        / (255.0 * dataset.pixels().len() as f64);
    // The mean of the training images is 0.2860.
    assert!((mean - 0.286).abs() < 0.002, "mean {mean}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/fashion-mnist");
    let spec = format!("{}#test", folder.display());
    assert_eq!(Dataset::open(spec.as_ref()).unwrap().content_hash(), dataset.content_hash());
}
