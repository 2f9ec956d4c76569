//! The feature network: shapes, gradients, file.

use candle_core::{Device, Tensor};
use kernels::noise::NoiseStream;
use models::{ParamSet, Provenance};

use super::message;
use crate::*;

fn images(count: usize) -> Tensor {
    NoiseStream::new(0, 7).normal_tensor(0, (count, 1, 32, 32), &Device::Cpu).unwrap()
}

fn file(seed: u64) -> FeatureNetFile {
    let params = FeatureNet::init(seed).unwrap();
    // The initial head is 0; another value shows that it is kept.
    params.vars()["head.bias"].set(&Tensor::arange(0f32, 10.0, &Device::Cpu).unwrap()).unwrap();
    let entries = [("licence".to_owned(), "MIT".to_owned())].into();
    FeatureNetFile { params, accuracy: 0.925, provenance: Provenance { entries } }
}

fn extract(file: &FeatureNetFile, images: &Tensor) -> Extracted {
    file.extractor().unwrap().extract(images).unwrap()
}

#[test]
fn features_and_logits_have_their_shapes_and_sizes() {
    let file = file(0);
    assert_eq!(file.params.parameter_count(), 278_890);
    let extracted = extract(&file, &images(3));
    assert_eq!(extracted.features.dims(), [3, 128]);
    // No graph is kept for a backward pass.
    assert!(!extracted.features.track_op());
    assert_eq!(extracted.logits.unwrap().dims(), [3, 10]);
    assert_eq!(file.extractor().unwrap().dim(), 128);
    // He's initialization keeps the scale of activations through the layers.
    let spread = extracted.features.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!((0.01..1.0).contains(&spread), "{spread}");
    for shape in [vec![2, 1, 28, 28], vec![2, 3, 32, 32], vec![1, 32, 32]] {
        let zeros = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let got = message(file.extractor().unwrap().extract(&zeros));
        assert!(got.contains("requires images [B, 1, 32, 32], found"), "{got}");
    }
}

#[test]
fn an_image_has_the_same_features_in_any_batch() {
    let (file, all) = (file(0), images(5));
    let whole = extract(&file, &all).features.to_vec2::<f32>().unwrap();
    for (i, expected) in whole.iter().enumerate() {
        let alone = extract(&file, &all.narrow(0, i, 1).unwrap()).features;
        let alone = alone.to_vec2::<f32>().unwrap();
        let gap = alone[0].iter().zip(expected).map(|(a, b)| (a - b).abs());
        assert!(gap.fold(0.0, f32::max) < 1e-5, "image {i}");
    }
}

/// Compared with finite differences of the loss in f64 along the gradient.
#[test]
fn the_gradient_of_every_parameter_matches_finite_differences() {
    let params = file(1).params;
    // The initial head is 0, which passes no gradient to the layers below.
    params.vars()["head.weight"]
        .set(&NoiseStream::new(0, 8).normal_tensor(0, (10, 128), &Device::Cpu).unwrap())
        .unwrap();
    let params = params.to_dtype(candle_core::DType::F64).unwrap();
    let images = images(2).to_dtype(candle_core::DType::F64).unwrap();
    let labels = Tensor::new(&[3u32, 9], &Device::Cpu).unwrap();
    let loss = |params: &ParamSet| {
        let net = FeatureNet::new(&params.trainable()).unwrap();
        let logits = net.logits(&net.features(&images).unwrap()).unwrap();
        cross_entropy(&logits, &labels).unwrap().sum_all().unwrap()
    };
    let grads = loss(&params).backward().unwrap();
    for (name, var) in params.vars() {
        let grad = grads.get(var).unwrap();
        let norm = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
        assert!(0.0 < norm, "{name} has no gradient");
        let start = var.as_tensor().copy().unwrap();
        let at = |step: f64| {
            let moved = (&start + (grad * (step / norm)).unwrap()).unwrap();
            var.set(&moved).unwrap();
            loss(&params).to_scalar::<f64>().unwrap()
        };
        let slope = (at(1e-4) - at(-1e-4)) / 2e-4;
        var.set(&start).unwrap();
        assert!((slope / norm - 1.0).abs() < 1e-5, "{name}: slope {slope}, gradient {norm}");
    }
    let grads = {
        let net = FeatureNet::new(&params.frozen()).unwrap();
        net.features(&images).unwrap().sum_all().unwrap().backward().unwrap()
    };
    assert!(params.vars().values().all(|var| grads.get(var).is_none()));
}

#[test]
fn the_file_round_trips_network_and_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.safetensors");
    let saved = file(2);
    saved.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for loaded in [
        FeatureNetFile::load(&path).unwrap(),
        FeatureNetFile::from_bytes("embedded", &bytes).unwrap(),
    ] {
        assert_eq!(loaded.accuracy, 0.925);
        assert_eq!(loaded.provenance, saved.provenance);
        assert_eq!(loaded.hash().unwrap(), saved.hash().unwrap());
        let logits = |file: &FeatureNetFile| {
            extract(file, &images(2)).logits.unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(logits(&loaded), logits(&saved));
    }
    let relabeled = FeatureNetFile { accuracy: 0.5, ..file(2) };
    assert_eq!(relabeled.hash().unwrap(), saved.hash().unwrap());
    assert_ne!(file(3).hash().unwrap(), saved.hash().unwrap());
}

#[test]
fn rejects_damaged_and_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.safetensors");
    file(0).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let load = |bytes: &[u8]| message(FeatureNetFile::from_bytes("net.safetensors", bytes));
    assert!(load(&bytes[..bytes.len() - 1]).contains("net.safetensors: not usable"));
    assert!(load(b"").contains("net.safetensors: not usable"));
    let mut damaged = bytes.clone();
    // The lowest bit of a weight: still finite and of the right shape.
    damaged[bytes.len() - 4] ^= 1;
    let got = load(&damaged);
    assert!(got.contains("`hash` is"), "{got}");
    let mut diverged = bytes.clone();
    let end = bytes.len();
    diverged[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(load(&diverged).contains("NaN or an infinity"));
    let absent = message(FeatureNetFile::load(folder.path().join("absent")));
    assert!(absent.contains("absent: not usable"), "{absent}");
}
