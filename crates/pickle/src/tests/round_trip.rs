//! Plain values and tensors are read back as they were written.

use std::io::Cursor;

use proptest::prelude::*;

use super::files::open_bytes;
use crate::machine::parse;
use crate::to_plain::to_plain;
use crate::walk::Walk;
use crate::writer::{
    EdmFile, ModuleSpec, Pickler, Protocol, StateDictWriter, TensorSpec, legacy_state_dict,
    write_edm,
};
use crate::{Dtype, Limits, Plain};

fn written(value: &Plain, protocol: Protocol) -> Vec<u8> {
    let mut pickler = Pickler::new(protocol);
    pickler.plain(value).unwrap();
    pickler.finish()
}

pub(super) fn read(bytes: &[u8]) -> crate::Result<Plain> {
    let limits = Limits::default();
    let document = parse("x", bytes, 0..bytes.len(), &limits)?;
    to_plain(&Walk::new("x", &document, bytes, &limits), document.root)
}

fn leaves() -> impl Strategy<Value = Plain> {
    prop_oneof![
        Just(Plain::none()),
        any::<bool>().prop_map(Plain::from),
        any::<i64>().prop_map(Plain::from),
        (-300i64..70_000).prop_map(Plain::from),
        any::<i128>().prop_map(Plain::from),
        prop::num::f64::ANY
            .prop_filter("NaN is not equal to itself", |it| !it.is_nan())
            .prop_map(Plain::from),
        ".{0,12}".prop_map(|it| Plain::from(it.as_str())),
        prop::sample::select(vec![255usize, 256, 70_000])
            .prop_map(|length| Plain::from("é".repeat(length / 2).as_str())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Plain::bytes),
    ]
}

fn values() -> impl Strategy<Value = Plain> {
    leaves().prop_recursive(5, 60, 8, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            items.clone().prop_map(Plain::list),
            items.clone().prop_map(Plain::tuple),
            items.prop_map(Plain::set),
            prop::collection::vec((inner.clone(), inner), 0..6).prop_map(Plain::dict::<Plain>),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn values_of_both_protocols_come_back(value in values()) {
        for protocol in [Protocol::Two, Protocol::Four] {
            let bytes = written(&value, protocol);
            prop_assert_eq!(&read(&bytes).unwrap(), &value, "{:?} {:02x?}", protocol, bytes);
        }
    }
}

/// Names, types and shapes. The bytes depend on the position in the list.
fn state_dicts() -> impl Strategy<Value = Vec<(String, TensorSpec)>> {
    let dtypes = prop::sample::select(Dtype::ALL.to_vec());
    let shapes = prop::collection::vec(0usize..5, 0..4);
    let dicts = prop::collection::btree_map("[a-z0-9_.é]{1,8}", (dtypes, shapes), 0..6);
    dicts.prop_map(|dict| {
        let tensors = dict.into_iter().enumerate().map(|(index, (name, (dtype, shape)))| {
            let count = shape.iter().product::<usize>() * dtype.bytes();
            let bytes: Vec<u8> = (0..count).map(|it| (it * 37 + index) as u8).collect();
            (name, TensorSpec::new(dtype, &shape, bytes))
        });
        tensors.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn tensors_of_all_formats_come_back(written in state_dicts()) {
        let mut zip = StateDictWriter::new(Cursor::new(Vec::new()), "x");
        for (name, it) in &written {
            zip.tensor(name, it.dtype, &it.shape, &it.storage).unwrap();
        }
        let parameters = written.iter().map(|(name, it)| (name.clone(), Some(it.clone()))).collect();
        let network = ModuleSpec { parameters, ..ModuleSpec::default() };
        let edm = EdmFile { networks: vec![(String::new(), network)], ..EdmFile::default() };
        for bytes in [
            zip.finish().unwrap().into_inner(),
            legacy_state_dict(&written).unwrap(),
            write_edm(&edm).unwrap(),
        ] {
            let contents = open_bytes(bytes).unwrap();
            let networks = contents.networks.iter().flat_map(|it| &it.tensors);
            let dicts = contents.state_dicts.iter().flat_map(|it| &it.tensors);
            let read: Vec<_> = networks.chain(dicts).collect();
            prop_assert_eq!(read.len(), written.len());
            for (read, (name, it)) in read.into_iter().zip(&written) {
                prop_assert_eq!(&read.name, name);
                prop_assert_eq!((read.dtype(), read.shape()), (it.dtype, &*it.shape));
                prop_assert_eq!(&*read.bytes().unwrap(), &*it.storage);
            }
        }
    }
}

#[test]
fn large_containers_and_long_frames_come_back() {
    let numbers = |count: i64| (0..count).map(Plain::from);
    let table = [
        Plain::list(numbers(999)),
        Plain::list(numbers(1000)),
        Plain::list(numbers(1001)),
        Plain::list(numbers(60_000)),
        Plain::set(numbers(2500)),
        Plain::dict(
            (0..2001).map(|it| (Plain::from(format!("key{it}").as_str()), Plain::from(it))),
        ),
        Plain::bytes(vec![7; 200_000]),
    ];
    for value in table {
        for protocol in [Protocol::Two, Protocol::Four] {
            assert_eq!(read(&written(&value, protocol)).unwrap(), value);
        }
    }
}

/// The expected texts are what Python prints for the same values.
#[test]
fn values_are_printed_as_in_python() {
    let value = Plain::dict([
        ("a", Plain::tuple([Plain::from(1)])),
        ("b", Plain::list([Plain::from(true), Plain::none(), Plain::from(0.5)])),
        ("c", Plain::tuple([Plain::from(1), Plain::from(-2)])),
        ("d", Plain::set([Plain::from(1i128 << 70)])),
    ]);
    assert_eq!(
        value.to_string(),
        r#"{"a": (1,), "b": [True, None, 0.5], "c": (1, -2), "d": {1180591620717411303424}}"#
    );
}

#[test]
fn accesses_parts_of_plain_values() {
    let inner = Plain::dict([("n", Plain::from(3)), ("x", Plain::from(0.5))]);
    let value = Plain::dict([("k", Plain::from(1)), ("k", Plain::from(2)), ("inner", inner)]);
    assert_eq!(value.get("k").unwrap().as_i64(), Some(2), "the later of two entries");
    let inner = value.get("inner").unwrap();
    assert_eq!(inner.get("n").unwrap().as_f64(), Some(3.0));
    assert_eq!(inner.get("x").unwrap().as_i64(), None);
    assert!(inner.get("y").is_none() && inner.get("n").unwrap().get("n").is_none());
}

#[test]
fn reads_other_outermost_entries_as_values() {
    let value = Plain::dict([
        ("lr", Plain::from(1e-3)),
        ("betas", Plain::tuple([0.9, 0.99].map(Plain::from))),
    ]);
    let contents = open_bytes(written(&value, Protocol::Four)).unwrap();
    let names: Vec<_> = contents.values.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["lr", "betas"]);
    assert_eq!(contents.values[1].1.to_string(), "(0.9, 0.99)");
}
