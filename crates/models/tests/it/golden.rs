//! Files of `testdata/edm`, made by the reference implementation, and how near one has to come.

use std::path::PathBuf;

use candle_core::{DType, Tensor};
use serde_json::Value;
use uni_instruct_models::edm::precond::Precond;
use uni_instruct_models::unet::config::{
    DhariwalConfig, Embedding, Encoder, ResampleFilter, SongConfig,
};
use uni_instruct_models::{
    Architecture, Conditioning, Network, NetworkConfig, ParamSet, TensorFile,
};

/// A network with random weights, inputs, outputs and gradients.
pub struct Golden {
    pub file: TensorFile,
    pub config: NetworkConfig,
    pub params: ParamSet,
}

impl Golden {
    pub fn load(name: &str) -> Self {
        let file = load(name);
        let config = config(&file);
        let params = config.init(0).unwrap();
        params.set_from(&under(&file, "net.")).unwrap();
        Self { file, config, params }
    }

    pub fn network(&self) -> Network {
        self.config.build(&self.params.trainable()).unwrap()
    }

    pub fn get(&self, key: &str) -> Tensor {
        self.file.tensors[key].clone()
    }

    pub fn conditioning(&self) -> Conditioning {
        Conditioning {
            labels: self.file.tensors.get("io.class_labels").cloned(),
            augment: self.file.tensors.get("io.augment_labels").cloned(),
            dropout: None,
        }
    }
}

pub fn load(name: &str) -> TensorFile {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/edm");
    TensorFile::load(folder.join(format!("{name}.safetensors"))).unwrap()
}

pub fn under(file: &TensorFile, prefix: &str) -> std::collections::BTreeMap<String, Tensor> {
    let strip = |(key, tensor): (&String, &Tensor)| {
        Some((key.strip_prefix(prefix)?.to_owned(), tensor.clone()))
    };
    file.tensors.iter().filter_map(strip).collect()
}

/// The configuration in the reference's keywords, translated.
fn config(file: &TensorFile) -> NetworkConfig {
    let json: Value = serde_json::from_str(&file.metadata["config"]).unwrap();
    let number = |key: &str| json.get(key).and_then(Value::as_u64).map(|it| it as usize);
    let list = |key: &str| -> Vec<usize> {
        json[key].as_array().unwrap().iter().map(|it| it.as_u64().unwrap() as usize).collect()
    };
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    let architecture = match text("model_type").unwrap() {
        "SongUNet" => Architecture::Song(SongConfig {
            model_channels: number("model_channels").unwrap(),
            channel_mult: list("channel_mult"),
            num_blocks: number("num_blocks").unwrap(),
            attn_resolutions: list("attn_resolutions"),
            dropout: json["dropout"].as_f64().unwrap(),
            embedding_type: match text("embedding_type") {
                Some("fourier") => Embedding::Fourier,
                _ => Embedding::Positional,
            },
            encoder_type: match text("encoder_type") {
                Some("residual") => Encoder::Residual,
                _ => Encoder::Standard,
            },
            channel_mult_noise: number("channel_mult_noise").unwrap_or(1),
            resample_filter: match json.get("resample_filter") {
                Some(_) => ResampleFilter::Tent,
                None => ResampleFilter::Box,
            },
            ..SongConfig::default()
        }),
        "DhariwalUNet" => Architecture::Dhariwal(DhariwalConfig {
            model_channels: number("model_channels").unwrap(),
            channel_mult: list("channel_mult"),
            num_blocks: number("num_blocks").unwrap(),
            attn_resolutions: list("attn_resolutions"),
            dropout: json["dropout"].as_f64().unwrap(),
            ..DhariwalConfig::default()
        }),
        other => panic!("{other}"),
    };
    let resolution = number("img_resolution").unwrap();
    let precond = match file.metadata["precond"].as_str() {
        "EDMPrecond" => Precond::Edm {},
        "VPPrecond" => Precond::vp(),
        "VEPrecond" => Precond::Ve {},
        "iDDPMPrecond" => Precond::iddpm(),
        other => panic!("{other}"),
    };
    NetworkConfig {
        label_dim: number("label_dim").unwrap_or(0),
        augment_dim: number("augment_dim").unwrap_or(0),
        precond,
        ..NetworkConfig::new(architecture, resolution, number("img_channels").unwrap())
    }
}

/// Largest difference over the largest magnitude of the reference.
pub fn error(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.dims(), want.dims());
    let [got, want] = [got, want].map(|it| it.to_dtype(DType::F64).unwrap());
    let peak = |it: Tensor| {
        let numbers = it.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        numbers.into_iter().map(f64::abs).fold(0.0, |a: f64, b| if b <= a { a } else { b })
    };
    peak((got - &want).unwrap()) / peak(want)
}
