//! Files: round trips, and errors that name the fault.

use std::collections::BTreeMap;
use std::error::Error as _;

use candle_core::{Device, Tensor};
use uni_instruct_models::generator::StepSchedule;
use uni_instruct_models::unet::config::SongConfig;
use uni_instruct_models::{
    Architecture, Error, NetworkConfig, NetworkFile, Provenance, Role, TensorFile,
};

use crate::golden::Golden;

/// A network of a few thousand parameters with constants of both kinds.
fn small() -> NetworkFile {
    let song = SongConfig {
        model_channels: 8,
        channel_mult: vec![1, 1],
        num_blocks: 1,
        attn_resolutions: vec![],
        ..SongConfig::ncsnpp()
    };
    let config =
        NetworkConfig { label_dim: 3, ..NetworkConfig::new(Architecture::Song(song), 8, 1) };
    let params = config.init(7).unwrap();
    let entries = [("license", "MIT"), ("images", "1000")];
    let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    NetworkFile { config, params, role: Role::Teacher, provenance: Provenance { entries } }
}

fn raw(file: &NetworkFile) -> TensorFile {
    TensorFile::from_bytes("small", &file.to_bytes().unwrap()).unwrap()
}

fn numbers(file: &NetworkFile) -> BTreeMap<String, Vec<f32>> {
    let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    file.params.tensors().into_iter().map(|(key, tensor)| (key, flat(tensor))).collect()
}

/// The whole chain of an error, as the program prints it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[track_caller]
fn refused(file: &TensorFile, reasons: &[&str]) {
    let error = NetworkFile::from_bytes("some.safetensors", &file.to_bytes().unwrap()).unwrap_err();
    let text = chain(&error);
    for reason in [&["some.safetensors"], reasons].concat() {
        assert!(text.contains(reason), "`{reason}` is not in `{text}`");
    }
}

#[test]
fn files_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let file = small();
    file.save(&path).unwrap();
    let back = NetworkFile::load(&path).unwrap();
    assert_eq!(back.config, file.config);
    assert_eq!(back.provenance, file.provenance);
    assert_eq!(numbers(&back), numbers(&file));
    assert!(back.params.vars().contains_key("model.enc.8x8_conv.weight"));
    assert!(back.params.buffers().contains_key("model.map_noise.freqs"));
    // Equal contents have equal bytes, and no sibling is left behind.
    assert_eq!(std::fs::read(&path).unwrap(), back.to_bytes().unwrap());
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}

/// Version 0.1 recognizes a generator by the entry `sigma_init` of its provenance.
#[test]
fn roles_are_written_as_version_0_1_reads_them() {
    let teacher = small();
    let generator = NetworkFile { role: Role::Generator(StepSchedule::one_step(2.5)), ..small() };
    let provenance = |file: &NetworkFile| raw(file).metadata["provenance"].clone();
    let written = r#"{"images":"1000","license":"MIT","sigma_init":"2.5"}"#;
    assert_eq!(provenance(&generator), written);
    assert_eq!(provenance(&teacher), r#"{"images":"1000","license":"MIT"}"#);

    let read = |file: &TensorFile| NetworkFile::from_bytes("x", &file.to_bytes().unwrap()).unwrap();
    let back = read(&raw(&generator));
    assert_eq!(back.role, Role::Generator(StepSchedule::one_step(2.5)));
    assert_eq!(back.to_bytes().unwrap(), generator.to_bytes().unwrap());
    assert_eq!(read(&raw(&teacher)).role, Role::Teacher);
    // A generator that is made a teacher's start loses the entry.
    let demoted = NetworkFile { role: Role::Teacher, ..back };
    assert_eq!(provenance(&demoted), provenance(&teacher));
    for bad in ["-1", "0", "inf", "many"] {
        let mut file = raw(&generator);
        file.metadata.insert("provenance".into(), written.replace("2.5", bad));
        refused(&file, &["sigma_init", bad, "a positive number"]);
    }
}

#[test]
fn the_reference_library_reads_our_files() {
    let bytes = small().to_bytes().unwrap();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    assert_eq!(tensors.len(), small().params.tensors().len());
    assert_eq!(tensors["model.map_layer0.bias"].dims(), [32]);
}

#[test]
fn missing_constants_are_recomputed() {
    let file = small();
    let mut raw = raw(&file);
    let key = "model.enc.4x4_down.conv0.resample_filter";
    assert!(raw.tensors.remove(key).is_some());
    let back = NetworkFile::from_bytes("x", &raw.to_bytes().unwrap()).unwrap();
    assert_eq!(numbers(&back), numbers(&file));
    // Random frequencies cannot be made anew.
    raw.tensors.remove("model.map_noise.freqs");
    refused(&raw, &["no tensor `model.map_noise.freqs`", "[8]"]);
}

#[test]
fn rejects_faulty_tensors() {
    let key = "model.map_layer0.weight";
    let with = |tensor: Tensor| {
        let mut raw = raw(&small());
        raw.tensors.insert(key.to_owned(), tensor);
        raw
    };
    let zeros = |shape: (usize, usize)| {
        Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap()
    };
    refused(&with(zeros((32, 17))), &["model.map_layer0.weight", "[32, 17]", "[32, 16]"]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = vec![0.5; 32 * 16];
        values[100] = bad;
        let tensor = Tensor::from_vec(values, (32, 16), &Device::Cpu).unwrap();
        refused(&with(tensor), &["model.map_layer0.weight", "NaN"]);
    }
    let mut missing = raw(&small());
    missing.tensors.remove(key);
    refused(&missing, &["no tensor `model.map_layer0.weight`", "[32, 16]"]);
    let mut extra = raw(&small());
    extra.tensors.insert("model.enc.other".into(), zeros((1, 2)));
    refused(&extra, &["model.enc.other", "no part of this network"]);
    let mut foreign = raw(&small());
    let filter = "model.enc.4x4_down.conv0.resample_filter";
    let box_filter = Tensor::full(1f32 / 16.0, (1, 1, 4, 4), &Device::Cpu).unwrap();
    foreign.tensors.insert(filter.into(), box_filter);
    refused(&foreign, &[filter, "configuration implies"]);
}

#[test]
fn rejects_faulty_metadata() {
    let with = |key: &str, value: Option<String>| {
        let mut raw = raw(&small());
        match value {
            Some(value) => raw.metadata.insert(key.to_owned(), value),
            None => raw.metadata.remove(key),
        };
        raw
    };
    refused(&with("format_version", Some("99".into())), &["format_version", "99", "`1`"]);
    refused(&with("kind", Some("checkpoint".into())), &["kind", "checkpoint", "network"]);
    refused(&with("kind", None), &["no metadata `kind`"]);
    refused(&with("config", Some("{".into())), &["config", "EOF"]);
    let config = serde_json::to_string(&small().config).unwrap();
    let typo = config.replace("\"num_blocks\"", "\"num_block\"");
    refused(&with("config", Some(typo)), &["config", "unknown field `num_block`"]);
    let kind = config.replace("\"song\"", "\"transformer\"");
    refused(&with("config", Some(kind)), &["unknown variant `transformer`"]);
    let huge = config.replace("\"model_channels\":8", "\"model_channels\":18446744073709551615");
    refused(&with("config", Some(huge)), &["model_channels"]);
    let odd = config.replace("\"model_channels\":8", "\"model_channels\":10");
    refused(&with("config", Some(odd)), &["model_channels", "multiple of 4"]);
}

#[test]
fn rejects_truncated_and_foreign_files() {
    let bytes = small().to_bytes().unwrap();
    for length in [0, 1, 7, 8, 9, 100, bytes.len() / 2, bytes.len() - 1] {
        let error = NetworkFile::from_bytes("cut.safetensors", &bytes[..length]).unwrap_err();
        let text = chain(&error);
        assert!(text.starts_with("cut.safetensors: "), "{text}");
        assert!(text.contains("not a complete safetensors file"), "{length}: {text}");
    }
    let zip = [b"PK\x03\x04".as_slice(), &[0x5a; 4000]].concat();
    assert!(NetworkFile::from_bytes("a.zip", &zip).is_err());
    let plain = TensorFile { metadata: BTreeMap::new(), ..raw(&small()) };
    refused(&plain, &["no metadata `format_version`", "not a network's file"]);
}

#[test]
fn a_failed_save_keeps_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    std::fs::write(&path, "old").unwrap();
    let mut file = raw(&small());
    // A type that cannot be written: noticed after the sibling was opened.
    let odd = Tensor::zeros(2, candle_core::DType::BF16, &Device::Cpu).unwrap();
    file.tensors.insert("odd".into(), odd);
    let error = file.save(&path).unwrap_err();
    assert!(chain(&error).contains("odd"), "{}", chain(&error));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);

    let nowhere = folder.path().join("no/such/net.safetensors");
    let error = small().save(&nowhere).unwrap_err();
    assert!(chain(&error).contains("no/such/net.safetensors"), "{}", chain(&error));
    let error = NetworkFile::load(&nowhere).unwrap_err();
    assert!(chain(&error).contains("no/such/net.safetensors"), "{}", chain(&error));
}

#[test]
fn half_precision_weights_are_widened() {
    let mut raw = raw(&small());
    let bytes: Vec<u8> = {
        let halves = |tensor: &Tensor| tensor.to_dtype(candle_core::DType::BF16).unwrap();
        let tensors: std::collections::HashMap<String, Tensor> =
            raw.tensors.iter().map(|(key, tensor)| (key.clone(), halves(tensor))).collect();
        let metadata = std::mem::take(&mut raw.metadata).into_iter().collect();
        safetensors::serialize(&tensors, Some(metadata)).unwrap()
    };
    let back = NetworkFile::from_bytes("half", &bytes).unwrap();
    for (key, numbers) in numbers(&small()) {
        for (a, b) in numbers.iter().zip(&self::numbers(&back)[&key]) {
            assert!((a - b).abs() <= a.abs() / 128.0, "{key}: {a} and {b}");
        }
    }
}

#[test]
fn a_set_copies_all_of_a_state_or_nothing() {
    let Golden { params, config, .. } = Golden::load("edm-ncsnpp-uncond");
    let (ours, frozen) = (config.init(1).unwrap(), config.init(1).unwrap());
    let before = ours.deep_copy().unwrap();
    let key = "model.map_layer0.weight";
    let mut tensors = params.tensors();
    let right = tensors.remove(key).unwrap();
    let text = chain(&ours.set_from(&tensors).unwrap_err());
    assert!(text.contains(key) && text.contains("[64, 32]"), "{text}");
    tensors.insert(key.into(), (right * f64::NAN).unwrap());
    assert!(chain(&ours.set_from(&tensors).unwrap_err()).contains("NaN"));
    let same = |a: &uni_instruct_models::ParamSet, b: &uni_instruct_models::ParamSet| {
        let pairs = a.tensors().into_iter().zip(b.tensors());
        pairs.into_iter().all(|((_, a), (_, b))| {
            let flat = |it: Tensor| it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            flat(a) == flat(b)
        })
    };
    assert!(same(&ours, &before), "a refused state must not be taken in part");
    // Views follow; copies do not.
    let view = ours.frozen();
    ours.set_from(&params.tensors()).unwrap();
    assert!(same(&ours, &params) && !same(&ours, &before) && same(&frozen, &before));
    let seen = view.at("model").at("map_layer0").get("weight", (64, 32)).unwrap();
    let want = params.tensors()[key].to_vec2::<f32>().unwrap();
    assert_eq!(seen.to_vec2::<f32>().unwrap(), want);
    let text = chain(&view.at("model").get("map_layer0.weight", (1, 32)).unwrap_err());
    assert!(text.contains(key) && text.contains("[1, 32]"), "{text}");
}

/// A tensor with an empty axis has no elements, but the product of its other axes is still a
/// stride.
#[test]
fn rejects_axes_beyond_memory_next_to_an_empty_one() {
    let huge = 1u64 << 40;
    let header =
        format!(r#"{{"a":{{"dtype":"F32","shape":[0,{huge},{huge}],"data_offsets":[0,0]}}}}"#);
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let text = chain(&TensorFile::from_bytes("x.safetensors", &bytes).unwrap_err());
    assert_eq!(
        text,
        format!(
            "x.safetensors: not usable: tensor `a` [0, {huge}, {huge}] is beyond memory: fetch the \
             file again"
        )
    );
}

/// A file of a kilobyte may ask for a network of any number of blocks, each of which is walked.
#[test]
fn rejects_too_many_blocks() {
    let mut file = raw(&small());
    let config = file.metadata.get_mut("config").unwrap();
    *config = config.replace("\"num_blocks\":1", "\"num_blocks\":129");
    refused(&file, &["`num_blocks`", "129 is not between 1 and 128"]);
}
