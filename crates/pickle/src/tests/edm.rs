//! Files in EDM's structure, written and read.

use std::sync::Arc;

use super::files::{edm_bytes, edm_file, open_bytes, ramp, refusal};
use crate::writer::{ModuleSpec, Pickler, Protocol, TensorSpec, legacy_storage, write_edm};
use crate::{Choice, Dtype, Kind, Plain};

#[test]
fn tensors_have_the_names_and_the_order_of_state_dict() {
    let contents = open_bytes(edm_bytes()).unwrap();
    assert_eq!(contents.kind, Kind::Pickle);
    let (network, choice) = contents.network(None).unwrap();
    assert_eq!((network.key.as_str(), choice), ("ema", Choice::Only));
    let names: Vec<_> = network.tensors.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "model.map_layer0.weight",
            "model.enc.32x32_conv.weight",
            "model.enc.32x32_conv.tied",
            "model.enc.32x32_conv.resample_filter",
            "model.enc.32x32_block0.gain",
        ]
    );
    let values = |index: usize| network.tensors[index].to_f32().unwrap();
    assert_eq!(values(0), ramp(6, 1.0));
    assert_eq!(values(1), ramp(6, 30.0));
    assert_eq!(values(2), [30.0, 30.375, 30.125, 30.5, 30.25, 30.625], "transposed");
    assert_eq!(values(3), [0.25]);
    assert_eq!(values(4), [1.0, -2.0]);
    assert_eq!(network.tensors[4].dtype(), Dtype::F16);
}

#[test]
fn shared_storages_stay_shared_and_in_the_file() {
    let bytes = edm_bytes();
    let contents = open_bytes(bytes.clone()).unwrap();
    let tensors = &contents.networks[0].tensors;
    assert!(Arc::ptr_eq(tensors[1].storage(), tensors[2].storage()));
    assert!(!Arc::ptr_eq(tensors[0].storage(), tensors[1].storage()));
    let place = tensors[0].storage().range().expect("a part of the file");
    let expected: Vec<u8> = ramp(6, 1.0).iter().flat_map(|it| it.to_le_bytes()).collect();
    assert_eq!(bytes[place], expected);
    // A contiguous tensor is not copied.
    assert!(matches!(tensors[0].bytes().unwrap(), std::borrow::Cow::Borrowed(_)));
}

#[test]
fn keeps_classes_and_arguments_and_drops_sources() {
    let contents = open_bytes(edm_bytes()).unwrap();
    let network = &contents.networks[0];
    let root = network.root();
    assert_eq!(root.class_name, "EDMPrecond");
    let hash = blake3::hash(edm_file().module_src.as_bytes()).to_hex();
    assert_eq!(root.source_hash.as_deref(), Some(hash.as_str()));
    assert_eq!(root.init_kwargs.get("sigma_data").unwrap().as_f64(), Some(0.5));
    assert_eq!(root.init_kwargs.get("channel_mult").unwrap().to_string(), "[2, 2, 2]");
    assert_eq!(root.attributes.to_string(), r#"{"training": True, "sigma_data": 0.5}"#);
    let classes: Vec<_> =
        network.modules.iter().map(|it| (it.path.as_str(), it.class_name.as_str())).collect();
    assert_eq!(
        classes,
        [
            ("", "EDMPrecond"),
            ("model", "SongUNet"),
            ("model.map_layer0", "Linear"),
            ("model.enc", "torch.nn.modules.container.ModuleDict"),
            ("model.enc.32x32_conv", "Conv2d"),
            ("model.enc.32x32_block0", "UNetBlock"),
        ]
    );
    assert_eq!(network.modules[3].source_hash, None);

    assert_eq!(contents.objects[0].key, "loss_fn");
    assert_eq!(contents.objects[0].class_name, "EDMLoss");
    assert_eq!(contents.objects[0].state.get("P_mean").unwrap().as_f64(), Some(-1.2));
    assert_eq!(contents.values[0], ("augment_pipe".to_owned(), Plain::none()));
    assert_eq!(contents.values[1].1.get("path").unwrap().as_str(), Some("data.zip"));
}

#[test]
fn prefers_the_average_of_several_networks() {
    let mut file = edm_file();
    let net = file.networks[0].1.clone();
    file.networks = ["D", "G", "G_ema"].map(|key| (key.to_owned(), net.clone())).to_vec();
    let contents = open_bytes(write_edm(&file).unwrap()).unwrap();
    let (network, choice) = contents.network(None).unwrap();
    assert_eq!((network.key.as_str(), choice), ("G_ema", Choice::Preferred));
    let (network, choice) = contents.network(Some("D")).unwrap();
    assert_eq!((network.key.as_str(), choice), ("D", Choice::Named));
    let message = contents.network(Some("ema")).unwrap_err().to_string();
    assert_eq!(message, "x: no network `ema`; name one of: `D`, `G`, `G_ema`");

    file.networks = ["a", "b"].map(|key| (key.to_owned(), net.clone())).to_vec();
    let contents = open_bytes(write_edm(&file).unwrap()).unwrap();
    let message = contents.network(None).unwrap_err().to_string();
    assert_eq!(message, "x: more than one network; name one of: `a`, `b`");
}

/// 300 kB of weights, so that byte strings are outside frames.
#[test]
fn writes_large_weights_outside_frames() {
    let weight = ramp(75_000, 0.0);
    let mut file = edm_file();
    file.networks[0].1.parameters =
        vec![("weight".to_owned(), Some(TensorSpec::of_f32(&[75_000], &weight)))];
    let contents = open_bytes(write_edm(&file).unwrap()).unwrap();
    assert_eq!(contents.networks[0].tensors[0].to_f32().unwrap(), weight);
}

/// Protocol 2 has no bytes: storages are calls that encode text.
#[test]
fn decodes_storages_of_protocol_2() {
    let tensor = TensorSpec::of_f32(&[3], &[1.5, -2.0, 1e30]);
    let mut pickler = Pickler::new(Protocol::Two);
    pickler.dict();
    pickler
        .entries(2, |pickler, index| {
            pickler.text(["a", "b"][index]);
            tensor.write(pickler, |pickler| {
                let bytes = legacy_storage(tensor.dtype, &tensor.storage)?;
                pickler.call(("torch.storage", "_load_from_bytes"), 1, |pickler| {
                    pickler.bytes(&bytes);
                    Ok(())
                })
            })
        })
        .unwrap();
    let contents = open_bytes(pickler.finish()).unwrap();
    for tensor in &contents.state_dicts[0].tensors {
        assert_eq!(tensor.to_f32().unwrap(), [1.5, -2.0, 1e30]);
    }
}

#[test]
fn rejects_a_view_beyond_its_storage() {
    let mut file = edm_file();
    let wide = TensorSpec {
        shape: vec![2, 2],
        strides: vec![3, 2],
        ..TensorSpec::of_f32(&[5], &[0.0; 5])
    };
    file.networks[0].1.parameters = vec![("wide".to_owned(), Some(wide))];
    let (_, message) = refusal(write_edm(&file).unwrap());
    assert!(message.starts_with("x: byte "), "{message}");
    assert!(
        message.ends_with(
            "tensor `wide`: shape [2, 2] with strides [3, 2] from 0 leads beyond the 5 elements of \
             its storage; do not use this file"
        ),
        "{message}"
    );
}

#[test]
fn rejects_deeply_nested_modules() {
    let mut module = ModuleSpec::default();
    for _ in 0..150 {
        module = ModuleSpec { modules: vec![("m".to_owned(), module)], ..ModuleSpec::default() };
    }
    let mut file = edm_file();
    file.networks[0].1 = module;
    let (_, message) = refusal(write_edm(&file).unwrap());
    assert!(message.contains("more than 400 levels of nesting"), "{message}");
}
