//! Small files of every kind for the other tests.

use std::io::{Cursor, Write};
use std::sync::Arc;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::writer::{
    Class, EdmFile, ModuleSpec, StateDictWriter, TensorSpec, legacy_state_dict, write_edm,
};
use crate::{Contents, Dtype, FileBytes, Limits, PickleError, Plain, Result, open};

/// Opens bytes as a file called `x`, with the default limits.
pub(super) fn open_bytes(bytes: Vec<u8>) -> Result<Contents> {
    open(&FileBytes::new("x", bytes), &Limits::default())
}

/// The error of opening bytes, and its message.
#[track_caller]
pub(super) fn refusal(bytes: Vec<u8>) -> (PickleError, String) {
    let error = open_bytes(bytes).expect_err("should be refused");
    let message = error.to_string();
    (error, message)
}

/// Consecutive values, different for every tensor.
pub(super) fn ramp(count: usize, from: f32) -> Vec<f32> {
    (0..count).map(|it| from + it as f32 / 8.0).collect()
}

fn persistent(name: &str, init_kwargs: Plain) -> Class {
    Class::Persistent { name: name.to_owned(), init_kwargs }
}

/// A network with the parts of EDM's networks: containers, a missing bias, hidden buffers, a shared
/// storage.
pub(super) fn edm_file() -> EdmFile {
    let named = |name: &str, tensor| (name.to_owned(), tensor);
    let shared = TensorSpec::of_f32(&[2, 3], &ramp(6, 30.0));
    let mut transposed = TensorSpec { shape: vec![3, 2], strides: vec![1, 3], ..shared.clone() };
    transposed.storage = Arc::clone(&shared.storage);
    let linear = ModuleSpec {
        class: persistent("Linear", Plain::dict([("in_features", Plain::from(3))])),
        parameters: vec![
            named("weight", Some(TensorSpec::of_f32(&[2, 3], &ramp(6, 1.0)))),
            named("bias", None),
        ],
        attributes: vec![("in_features".to_owned(), Plain::from(3))],
        ..ModuleSpec::default()
    };
    let conv = ModuleSpec {
        class: persistent("Conv2d", Plain::dict([("kernel", Plain::from(3))])),
        parameters: vec![named("weight", Some(shared)), named("tied", Some(transposed))],
        buffers: vec![
            named("resample_filter", Some(TensorSpec::of_f32(&[1], &[0.25]))),
            named("scratch", Some(TensorSpec::of_f32(&[4], &[0.0; 4]))),
        ],
        hidden_buffers: vec!["scratch".to_owned()],
        ..ModuleSpec::default()
    };
    let half: Vec<u8> = [0x3c00u16, 0xc000].iter().flat_map(|it| it.to_le_bytes()).collect();
    let enc = ModuleSpec {
        modules: vec![
            ("32x32_conv".to_owned(), conv),
            (
                "32x32_block0".to_owned(),
                ModuleSpec {
                    class: persistent("UNetBlock", Plain::dict::<Plain>([])),
                    parameters: vec![named("gain", Some(TensorSpec::new(Dtype::F16, &[2], half)))],
                    ..ModuleSpec::default()
                },
            ),
        ],
        ..ModuleSpec::default()
    };
    let unet = ModuleSpec {
        class: persistent("SongUNet", Plain::dict([("img_resolution", Plain::from(32))])),
        modules: vec![("map_layer0".to_owned(), linear), ("enc".to_owned(), enc)],
        ..ModuleSpec::default()
    };
    let init_kwargs = Plain::dict([
        ("img_resolution", Plain::from(32)),
        ("label_dim", Plain::from(10)),
        ("use_fp16", Plain::from(false)),
        ("sigma_data", Plain::from(0.5)),
        ("model_type", Plain::from("SongUNet")),
        ("channel_mult", Plain::list([2, 2, 2].map(Plain::from))),
        ("augment_dim", Plain::none()),
    ]);
    let net = ModuleSpec {
        class: persistent("EDMPrecond", init_kwargs),
        modules: vec![("model".to_owned(), unet)],
        attributes: vec![("sigma_data".to_owned(), Plain::from(0.5))],
        ..ModuleSpec::default()
    };
    let loss = Plain::dict([("P_mean", Plain::from(-1.2)), ("P_std", Plain::from(1.2))]);
    EdmFile {
        module_src: "class EDMPrecond: pass\n".repeat(10),
        networks: vec![("ema".to_owned(), net)],
        objects: vec![("loss_fn".to_owned(), "EDMLoss".to_owned(), loss)],
        state_dicts: Vec::new(),
        values: vec![
            ("augment_pipe".to_owned(), Plain::none()),
            ("dataset_kwargs".to_owned(), Plain::dict([("path", Plain::from("data.zip"))])),
        ],
    }
}

pub(super) fn edm_bytes() -> Vec<u8> {
    write_edm(&edm_file()).unwrap()
}

/// A tensor of every type.
pub(super) fn tensors() -> Vec<(String, TensorSpec)> {
    Dtype::ALL
        .into_iter()
        .enumerate()
        .map(|(index, dtype)| {
            let bytes: Vec<u8> = (0..6 * dtype.bytes()).map(|it| (it + index) as u8 & 1).collect();
            (format!("layer{index}.weight"), TensorSpec::new(dtype, &[2, 3], bytes))
        })
        .collect()
}

pub(super) fn legacy_bytes() -> Vec<u8> {
    legacy_state_dict(&tensors()).unwrap()
}

pub(super) fn archive_bytes() -> Vec<u8> {
    let mut writer = StateDictWriter::new(Cursor::new(Vec::new()), "x");
    for (name, tensor) in tensors() {
        writer.tensor(&name, tensor.dtype, &tensor.shape, &tensor.storage).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A zip file of these entries.
pub(super) fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(super) fn script_bytes() -> Vec<u8> {
    let storages = [1f32, 2.0].map(f32::to_le_bytes).concat();
    zip(
        &[
            ("net/data.pkl", b"\x80\x02c__torch__.Net\nNet\n."),
            ("net/code/__torch__.py", b"class Net(Module):\n"),
            ("net/constants.pkl", b"\x80\x02)."),
            ("net/data/10", &storages),
            ("net/data/2", &storages[..4]),
        ],
        CompressionMethod::Stored,
    )
}

/// The object of the state dict, and its storages, as entries of a zip file.
pub(super) fn archive_entries() -> Vec<(String, Vec<u8>)> {
    let file = FileBytes::new("x", archive_bytes());
    let mut archive = ::zip::ZipArchive::new(Cursor::new(file)).unwrap();
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).unwrap();
            let mut bytes = Vec::new();
            std::io::copy(&mut entry, &mut bytes).unwrap();
            (entry.name().unwrap().into_owned(), bytes)
        })
        .collect()
}

/// A pickle of protocol 4 that consists of these opcodes.
pub(super) fn program(opcodes: &[&[u8]]) -> Vec<u8> {
    [&b"\x80\x04"[..], &opcodes.concat(), b"."].concat()
}

/// The opcodes that push a name.
pub(super) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}
