//! Data and networks that are compiled into the program.

use data::Dataset;
use metrics::{FeatureNetFile, TrainedFeatureNet};

/// Name of the embedded data set and of the teacher trained on it.
pub const FASHION_MNIST: &str = "fashion-mnist";

/// The 10,000 test images of Fashion-MNIST, and their classes.
const T10K: [&[u8]; 2] = [
    include_bytes!("../../../assets/fashion-mnist/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../../../assets/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
];

/// A classifier of Fashion-MNIST: the default feature network.
const FEATURES: &[u8] =
    include_bytes!("../../../assets/fashion-mnist-features/network.safetensors");

/// Networks by name: the feature network, a class-conditional DDPM++ of Fashion-MNIST, and the
/// one-step generator that the preset `fashion-mnist-full` distilled from it.
const NETWORKS: [(&str, &[u8]); 3] = [
    ("fashion-mnist-features", FEATURES),
    (FASHION_MNIST, include_bytes!("../../../assets/fashion-mnist-teacher/network.safetensors")),
    (
        "fashion-mnist-student",
        include_bytes!("../../../assets/fashion-mnist-student/network.safetensors"),
    ),
];

/// Published runs, by name.
pub const PRESETS: [(&str, &str); 2] = [
    (FASHION_MNIST, include_str!("../../../configs/fashion-mnist.toml")),
    ("fashion-mnist-full", include_str!("../../../configs/fashion-mnist-full.toml")),
];

/// The data set.
///
/// # Errors
///
/// If the embedded files are damaged.
pub fn dataset() -> Result<Dataset, data::Error> {
    Dataset::from_idx_bytes(T10K[0], T10K[1])
}

/// File of the network of this name.
pub fn network(name: &str) -> Option<&'static [u8]> {
    NETWORKS.iter().find(|(embedded, _)| *embedded == name).map(|(_, bytes)| *bytes)
}

/// The feature network.
///
/// # Errors
///
/// If the embedded file is damaged.
pub fn extractor() -> metrics::Result<TrainedFeatureNet> {
    FeatureNetFile::from_bytes("the embedded feature network", FEATURES)?.extractor()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::inputs::{dataset_for, network, teacher};

    #[test]
    fn the_feature_network_has_its_accuracy() {
        let file = FeatureNetFile::from_bytes("embedded", FEATURES).unwrap();
        assert!(0.92 <= file.accuracy, "{}", file.accuracy);
        let images = dataset().unwrap().pad(2).unwrap();
        let extractor = extractor().unwrap();
        let accuracy = train::classifier::accuracy(&extractor, &images, &Device::Cpu).unwrap();
        assert!((accuracy - file.accuracy).abs() < 1e-3, "{accuracy}, not {}", file.accuracy);
    }

    #[test]
    fn the_teacher_is_a_teacher() {
        let (file, _) = teacher(FASHION_MNIST).unwrap();
        assert_eq!(file.provenance.entries["licence"], "MIT");
        assert!(dataset_for(&file.config, FASHION_MNIST).unwrap().shape() == [1, 32, 32]);
    }

    #[test]
    fn the_student_was_distilled_from_the_teacher() {
        let (student, _) = network("fashion-mnist-student").unwrap();
        let (file, hash) = teacher(FASHION_MNIST).unwrap();
        assert_eq!(student.config, file.config);
        let entries = &student.provenance.entries;
        assert_eq!(entries["teacher_blake3"], hash);
        assert_eq!(entries["licence"], "MIT");
        assert!(teacher("fashion-mnist-student").is_err(), "a student is not a teacher");
    }
}
