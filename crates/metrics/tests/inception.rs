//! The network of FID against reference features. Needs the network's file:
//! `cargo run --release -- dataset fetch inception`.

use std::path::PathBuf;

use candle_core::{DType, Tensor};
use models::TensorFile;
use uni_instruct_metrics::{FeatureExtractor, Inception};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn features_agree_with_the_reference() {
    let network = Inception::load(root().join("data-cache/inception/default_1.pt"))
        .expect("cargo run --release -- dataset fetch inception");
    let golden =
        TensorFile::load(root().join("testdata/metrics/inception_fashion16.safetensors")).unwrap();
    let bytes = golden.tensors["images_u8"].to_dtype(DType::F32).unwrap();
    let images = bytes.affine(1.0 / 127.5, -1.0).unwrap();
    let expected = &golden.tensors["features"];
    for images in [&images, &images.narrow(1, 0, 1).unwrap()] {
        let found = network.extract(images).unwrap();
        let error = largest(&(found.features - expected).unwrap()) / largest(expected);
        // Measured: 2.5e-6.
        assert!(error < 1e-5, "{error:.2e}");
        let (spatial, expected) = (found.spatial.unwrap(), &golden.tensors["spatial"]);
        let spatial = spatial.narrow(0, 0, expected.dim(0).unwrap()).unwrap();
        let error = largest(&(spatial - expected).unwrap()) / largest(expected);
        assert!(error < 1e-5, "{error:.2e}");
    }
}
