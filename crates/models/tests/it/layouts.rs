//! Shapes, counts, options and initial weights.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use uni_instruct_models::edm::precond::Precond;
use uni_instruct_models::labels::one_hot;
use uni_instruct_models::params::is_finite;
use uni_instruct_models::unet::config::{Decoder, DhariwalConfig, Encoder, SongConfig};
use uni_instruct_models::{Architecture, Conditioning, Denoiser, NetworkConfig};

use crate::golden::{Golden, under};

#[test]
fn names_and_shapes_match_the_reference() {
    for name in crate::networks::FILES {
        let golden = Golden::load(name);
        let theirs: BTreeMap<_, _> = under(&golden.file, "net.")
            .into_iter()
            .map(|(key, tensor)| (key, tensor.dims().to_vec()))
            .collect();
        assert_eq!(golden.config.shapes().unwrap(), theirs, "{name}");
    }
}

/// The sizes that the papers and model cards quote, in millions.
#[test]
fn official_configurations_have_their_sizes() {
    let table = [
        (NetworkConfig::cifar10_ddpmpp(0), 55.7),
        (NetworkConfig::cifar10_ddpmpp(10), 55.7),
        (NetworkConfig::ffhq64_ddpmpp(), 61.8),
        (NetworkConfig::imagenet64_adm(), 295.9),
    ];
    for (config, millions) in table {
        let count = config.parameter_count().unwrap();
        assert_eq!((count as f64 / 1e5).round() / 10.0, millions, "{count}");
    }
}

fn song(change: impl FnOnce(&mut SongConfig)) -> NetworkConfig {
    let mut song = SongConfig {
        model_channels: 16,
        channel_mult: vec![1, 2],
        num_blocks: 1,
        attn_resolutions: vec![8],
        ..SongConfig::default()
    };
    change(&mut song);
    NetworkConfig { label_dim: 5, ..NetworkConfig::new(Architecture::Song(song), 16, 3) }
}

fn dhariwal(change: impl FnOnce(&mut DhariwalConfig)) -> NetworkConfig {
    let mut adm = DhariwalConfig {
        model_channels: 64,
        channel_mult: vec![1, 1],
        num_blocks: 1,
        attn_resolutions: vec![8],
        ..DhariwalConfig::default()
    };
    change(&mut adm);
    NetworkConfig { label_dim: 5, ..NetworkConfig::new(Architecture::Dhariwal(adm), 16, 3) }
}

fn peak_and_deviation(tensor: &Tensor) -> [f64; 2] {
    let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let square = numbers.iter().map(|&x| f64::from(x * x)).sum::<f64>() / numbers.len() as f64;
    [numbers.iter().fold(0.0, |a, &b| f64::from(b.abs()).max(a)), square.sqrt()]
}

/// Uniform distributions touch their bound and have deviation bound/√3; five standard errors of both.
#[track_caller]
fn check_uniform(tensor: &Tensor, bound: f64) {
    let [peak, deviation] = peak_and_deviation(tensor);
    let count = tensor.elem_count() as f64;
    assert!(peak <= bound * 1.000_001 && bound * (1.0 - 10.0 / count) <= peak, "{peak}, {bound}");
    let error = (deviation / bound - 3f64.recip().sqrt()).abs();
    assert!(error < 5.0 * 0.26 / count.sqrt(), "deviation {deviation}, bound {bound}");
}

#[test]
fn song_networks_have_glorot_initialization() {
    let tensors = song(|_| ()).init(3).unwrap().tensors();
    let table = [
        // name, fan-in, fan-out, gain
        ("enc.16x16_block0.conv0.weight", 16 * 9, 16 * 9, 1.0),
        ("enc.8x8_block0.conv1.weight", 32 * 9, 32 * 9, 1e-5),
        ("enc.8x8_block0.qkv.weight", 32, 96, 0.2f64.sqrt()),
        ("enc.8x8_block0.proj.weight", 32, 32, 1e-5),
        ("enc.8x8_block0.skip.weight", 16, 32, 1.0),
        ("dec.8x8_in0.affine.weight", 64, 32, 1.0),
        ("dec.16x16_aux_conv.weight", 16 * 9, 3 * 9, 1e-5),
        ("map_layer1.weight", 64, 64, 1.0),
        ("map_label.weight", 5, 16, 1.0),
    ];
    for (name, fan_in, fan_out, gain) in table {
        let bound = gain * (6.0 / f64::from(fan_in + fan_out)).sqrt();
        check_uniform(&tensors[&format!("model.{name}")], bound);
    }
    for (key, tensor) in &tensors {
        let norm = key.contains("norm");
        if key.ends_with("bias") {
            assert_eq!(peak_and_deviation(tensor)[0], 0.0, "{key}");
        } else if norm {
            assert!(tensor.to_vec1::<f32>().unwrap().iter().all(|&x| x == 1.0), "{key}");
        }
    }
}

#[test]
fn adm_networks_have_he_initialization() {
    let tensors = dhariwal(|_| ()).init(3).unwrap().tensors();
    let table = [
        ("enc.16x16_block0.conv0.weight", 64 * 9),
        ("enc.16x16_block0.conv0.bias", 64 * 9),
        ("enc.8x8_block0.qkv.weight", 64),
        ("dec.8x8_in0.affine.weight", 256),
        ("map_layer1.bias", 256),
    ];
    for (name, fan_in) in table {
        check_uniform(&tensors[&format!("model.{name}")], f64::from(fan_in).sqrt().recip());
    }
    for name in ["out_conv.weight", "enc.16x16_block0.conv1.weight", "enc.8x8_block0.proj.bias"] {
        assert_eq!(peak_and_deviation(&tensors[&format!("model.{name}")])[0], 0.0, "{name}");
    }
    // Normal with deviation √K / √K, whatever the number of classes K.
    let [_, deviation] = peak_and_deviation(&tensors["model.map_label.weight"]);
    assert!((deviation - 1.0).abs() < 0.1, "{deviation}");
}

#[test]
fn fourier_frequencies_have_their_scale() {
    let config = NetworkConfig::cifar10_ncsnpp(0);
    let Architecture::Song(song) = &config.architecture else { unreachable!() };
    let song = SongConfig { channel_mult: vec![1], num_blocks: 1, ..song.clone() };
    let params = NetworkConfig::new(Architecture::Song(song), 8, 1).init(0).unwrap();
    let [_, deviation] = peak_and_deviation(&params.buffers()["model.map_noise.freqs"]);
    // 128 normal numbers of deviation 16: five standard errors.
    assert!((deviation - 16.0).abs() < 5.0, "{deviation}");
}

#[test]
fn initial_weights_are_a_function_of_seed_and_name() {
    let numbers = |config: &NetworkConfig, seed| -> BTreeMap<String, Vec<f32>> {
        let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
        let tensors = config.init(seed).unwrap().tensors().into_iter();
        tensors.map(|(key, tensor)| (key, flat(tensor))).collect()
    };
    let (config, key) = (song(|_| ()), "model.enc.16x16_block0.conv0.weight");
    let first = numbers(&config, 1);
    assert_eq!(first, numbers(&config, 1));
    assert_ne!(first[key], numbers(&config, 2)[key]);
    assert_ne!(first[key], first["model.enc.8x8_down.conv0.weight"]);
    // A larger network has the same weights where it has the same layers.
    assert_eq!(first[key], numbers(&song(|song| song.num_blocks = 2), 1)[key]);
}

#[test]
fn rejects_options_out_of_range() {
    type Change = fn(&mut NetworkConfig);
    let table: [(&str, Change); 9] = [
        ("img_resolution", |it| it.img_resolution = 15),
        ("img_channels", |it| it.img_channels = 0),
        ("img_channels", |it| it.img_channels = usize::MAX),
        ("label_dim", |it| it.label_dim = usize::MAX),
        ("augment_dim", |it| it.augment_dim = usize::MAX),
        ("sigma_data", |it| it.sigma_data = 0.0),
        ("sigma_min", |it| it.sigma_min = f64::NAN),
        ("sigma_max", |it| it.sigma_max = 0.001),
        ("precond.steps", |it| it.precond = Precond::Vp { beta_d: 1., beta_min: 1., steps: 0 }),
    ];
    for (option, change) in table {
        let mut config = song(|_| ());
        change(&mut config);
        let error = config.init(0).unwrap_err().to_string();
        assert!(error.contains(option), "{option}: {error}");
        assert!(config.shapes().is_err() && config.parameter_count().is_err());
    }
    let configs = [
        ("model_channels", song(|it| it.model_channels = 0)),
        ("model_channels", song(|it| it.model_channels = 18)),
        ("model_channels", song(|it| it.model_channels = usize::MAX)),
        // Five times 28 channels are 140: no 32 groups.
        ("model_channels", song(|it| (it.model_channels, it.channel_mult) = (28, vec![1, 5]))),
        ("channel_mult", song(|it| it.channel_mult = vec![])),
        ("channel_mult", song(|it| it.channel_mult = vec![1; 40])),
        ("channel_mult", song(|it| it.channel_mult = vec![1, 0])),
        ("img_resolution", song(|it| it.channel_mult = vec![1; 6])),
        ("channel_mult_emb", song(|it| it.channel_mult_emb = 0)),
        ("channel_mult_noise", song(|it| it.channel_mult_noise = 0)),
        ("num_blocks", song(|it| it.num_blocks = 0)),
        ("dropout", song(|it| it.dropout = 1.0)),
        ("label_dropout", song(|it| it.label_dropout = -0.1)),
        ("dropout", dhariwal(|it| it.dropout = f64::NAN)),
        (
            "224 channels at level 1, which has attention, cannot be divided among 3 heads",
            dhariwal(|it| it.model_channels = 224),
        ),
        ("model_channels", dhariwal(|it| it.model_channels = 34)),
    ];
    for (option, config) in configs {
        let error = config.init(0).unwrap_err().to_string();
        assert!(error.contains(option), "{option}: {error}");
    }
}

/// EDM takes one head for every 64 channels, rounded down, and no attention for fewer than 64.
#[test]
fn widths_that_are_not_multiples_of_64_have_attention_as_in_edm() {
    for (channels, attends) in [(96, true), (160, true), (32, false)] {
        let config = dhariwal(|it| it.model_channels = channels);
        let shapes = config.shapes().unwrap();
        let packed = shapes.get("model.enc.8x8_block0.qkv.weight").cloned();
        assert_eq!(packed, attends.then(|| vec![3 * channels, channels, 1, 1]), "{channels}");
        let network = config.build(&config.init(0).unwrap().frozen()).unwrap();
        let x = Tensor::ones((2, 3, 16, 16), DType::F32, &Device::Cpu).unwrap();
        let sigma = Tensor::new(&[0.5f32, 2.0], &Device::Cpu).unwrap();
        let labels = one_hot(&[0, 4], 5, &Device::Cpu).unwrap();
        let y = network.denoise(&x, &sigma, &Conditioning::labels(Some(labels))).unwrap();
        assert!(is_finite(&y).unwrap(), "{channels}");
    }
}

#[test]
fn configurations_round_trip_and_reject_unknown_keys() {
    let full = song(|it| {
        (it.encoder_type, it.decoder_type) = (Encoder::Skip, Decoder::Skip);
    });
    let iddpm = NetworkConfig { precond: Precond::iddpm(), ..dhariwal(|_| ()) };
    for config in [full, iddpm, NetworkConfig::imagenet64_adm()] {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<NetworkConfig>(&text).unwrap(), config);
    }
    let short = r#"{"img_resolution": 32, "img_channels": 3, "augment_dim": 9,
        "architecture": {"kind": "song"}}"#;
    let config: NetworkConfig = serde_json::from_str(short).unwrap();
    assert_eq!(config, NetworkConfig::cifar10_ddpmpp(0));
    for typo in [
        short.replace("augment_dim", "augment_dims"),
        short.replace(r#""song""#, r#""song", "model_chanels": 8"#),
        short.replace(r#""augment_dim": 9"#, r#""precond": {"kind": "edm", "steps": 3}"#),
    ] {
        let error = serde_json::from_str::<NetworkConfig>(&typo).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
    }
}
