//! Files of other programs: converted, inspected, refused.

use std::path::Path;

use candle_core::{Device, Tensor};
use models::unet::config::SongConfig;
use models::{Architecture, Conditioning, Denoiser, NetworkConfig, NetworkFile, ParamSet};
use pickle::Plain;
use pickle::writer::{Class, EdmFile, ModuleSpec, Pickler, Protocol, TensorSpec, write_edm};

use crate::program::{check, folder};

fn config() -> NetworkConfig {
    let song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![],
        dropout: 0.0,
        ..SongConfig::default()
    };
    NetworkConfig { label_dim: 2, ..NetworkConfig::new(Architecture::Song(song), 8, 1) }
}

fn spec(tensor: &Tensor) -> TensorSpec {
    let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    TensorSpec::of_f32(tensor.dims(), &numbers)
}

/// The network as EDM pickles one.
fn module(params: &ParamSet) -> ModuleSpec {
    let sizes = |sizes: &[i64]| Plain::list(sizes.iter().map(|it| Plain::from(*it)));
    let init_kwargs = Plain::dict([
        ("img_resolution", 8i64.into()),
        ("img_channels", 1i64.into()),
        ("label_dim", 2i64.into()),
        ("model_type", "SongUNet".into()),
        ("model_channels", 8i64.into()),
        ("channel_mult", sizes(&[1, 2])),
        ("num_blocks", 1i64.into()),
        ("attn_resolutions", sizes(&[])),
        ("dropout", 0.0.into()),
    ]);
    let class = Class::Persistent { name: "EDMPrecond".to_owned(), init_kwargs };
    ModuleSpec::of_tensors(class, params.tensors().iter().map(|(key, it)| (key.clone(), spec(it))))
}

/// A pickle with a network and a reference output, which differs by `off` from the right one.
fn pickle(off: f64) -> Vec<u8> {
    let (config, params) = (config(), config().init(3).unwrap());
    let x = Tensor::ones((2, 1, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
    let sigma = Tensor::new(&[0.5f32, 2.0], &Device::Cpu).unwrap();
    let labels = Tensor::new(&[[1f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
    let network = config.build(&params.frozen()).unwrap();
    let conditioning = Conditioning::labels(Some(labels.clone()));
    let denoised = (network.denoise(&x, &sigma, &conditioning).unwrap() + off).unwrap();
    let reference = [("x", x), ("sigma", sigma), ("class_labels", labels), ("denoised", denoised)];
    write_edm(&EdmFile {
        module_src: "class EDMPrecond: pass".to_owned(),
        networks: vec![("ema".to_owned(), module(&params))],
        state_dicts: vec![(
            "reference".to_owned(),
            reference.iter().map(|(name, it)| ((*name).to_owned(), spec(it))).collect(),
        )],
        ..EdmFile::default()
    })
    .unwrap()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(folder.join(name), bytes).unwrap();
}

#[test]
fn a_pickle_becomes_a_teacher_with_its_provenance() {
    let folder = folder();
    write(folder.path(), "edm.pkl", &pickle(0.0));
    let words = "convert edm.pkl --out teacher.safetensors --licence CC-BY-NC-SA-4.0 --verify";
    check(&folder, words, 0, &["the reference differs by", "teacher.safetensors: "]);
    let file = NetworkFile::load(folder.path().join("teacher.safetensors")).unwrap();
    assert_eq!(file.config, config());
    let entries = &file.provenance.entries;
    assert_eq!((&entries["source"][..], &entries["source_class"][..]), ("edm.pkl", "EDMPrecond"));
    let hash = blake3::hash(&pickle(0.0)).to_hex().to_string();
    assert_eq!(entries["source_blake3"], hash);
    check(&folder, "inspect teacher.safetensors", 0, &["CC-BY-NC-SA-4.0", &hash]);
    // A student inherits its teacher's license.
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &[]);
    let student = NetworkFile::load(folder.path().join("run/generator.safetensors")).unwrap();
    assert_eq!(student.provenance.entries["licence"], "CC-BY-NC-SA-4.0");
}

#[test]
fn warns_about_edms_license() {
    let folder = folder();
    write(folder.path(), "edm.pkl", &pickle(0.0));
    check(&folder, "convert edm.pkl --out a.safetensors", 0, &["CC BY-NC-SA 4.0", "--licence"]);
}

#[test]
fn rejects_differing_reference() {
    let folder = folder();
    write(folder.path(), "edm.pkl", &pickle(0.01));
    let words = "convert edm.pkl --out teacher.safetensors --licence MIT --verify";
    check(&folder, words, 6, &["the reference differs by"]);
    assert!(!folder.path().join("teacher.safetensors").exists());
}

#[test]
fn a_generator_converts_to_pytorch_and_back() {
    let folder = folder();
    check(&folder, "convert fashion-mnist-student --to state-dict --out s.pt", 0, &["s.pt: "]);
    check(&folder, "inspect s.pt", 0, &["torch.save", "import torch._utils._rebuild_tensor_v2"]);
    check(&folder, "convert s.pt --out t.safetensors", 3, &["--config", "weights alone"]);
    check(&folder, "convert fashion-mnist-student --out native.safetensors", 0, &[]);
    let native = NetworkFile::load(folder.path().join("native.safetensors")).unwrap();
    write(folder.path(), "student.toml", toml::to_string(&native.config).unwrap().as_bytes());
    let words = "convert s.pt --config student.toml --licence MIT --out t.safetensors";
    check(&folder, words, 0, &["t.safetensors: "]);
    let back = NetworkFile::load(folder.path().join("t.safetensors")).unwrap();
    assert_eq!(back.config, native.config);
    for (key, tensor) in native.params.tensors() {
        let numbers = |it: &Tensor| it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(&back.params.tensors()[&key]), numbers(&tensor), "{key}");
    }
    check(&folder, "convert fashion-mnist-student --to diffusers --out folder", 0, &[]);
    assert!(folder.path().join("folder/config.json").exists());
}

#[test]
fn lists_and_rejects_files_that_run_code() {
    let folder = folder();
    let mut pickler = Pickler::new(Protocol::Four);
    pickler
        .call(("os", "system"), 1, |pickler| {
            pickler.text("touch owned");
            Ok(())
        })
        .unwrap();
    write(folder.path(), "evil.pkl", &pickler.finish());
    check(&folder, "inspect evil.pkl", 4, &["import os.system", "not known as harmless"]);
    check(&folder, "convert evil.pkl --out x.safetensors --licence MIT", 4, &["os.system"]);
    let whole = pickle(0.0);
    write(folder.path(), "short.pkl", &whole[..whole.len() / 2]);
    check(&folder, "convert short.pkl --out x.safetensors --licence MIT", 4, &["short.pkl"]);
    check(&folder, "convert none.pkl --out x.safetensors", 4, &["none.pkl"]);
    assert!(!folder.path().join("owned").exists() && !folder.path().join("x.safetensors").exists());
    check(&folder, "convert fashion-mnist --key ema --out x.safetensors", 3, &["--key"]);
}
