//! `.npz` files: round trips, another reader, and damage.

use std::io::{Cursor, Read, Write};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{message, testdata};
use crate::npz::{self, Array, Arrays, Values};

fn arrays() -> Arrays {
    let array = |shape: &[usize], values| Array { shape: shape.to_vec(), values };
    Arrays::from([
        ("mu".to_owned(), array(&[3], Values::F64(vec![1.0, -2.5, f64::MAX]))),
        ("x".to_owned(), array(&[2, 3], Values::F32(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))),
        ("one".to_owned(), array(&[], Values::F32(vec![7.0]))),
        ("none".to_owned(), array(&[0, 4], Values::F64(vec![]))),
    ])
}

/// Writes a zip of one entry by the `zip` crate.
fn foreign(name: &str, content: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
    zip.write_all(content).unwrap();
    zip.finish().unwrap().into_inner()
}

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00".as_slice(), &length, header.as_bytes(), data].concat()
}

fn stored(header: &str, data: &[u8]) -> Vec<u8> {
    foreign("x.npy", &npy(header, data), CompressionMethod::Stored)
}

#[test]
fn files_round_trip_and_are_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.npz");
    npz::write(&path, &arrays()).unwrap();
    assert_eq!(npz::read(&path).unwrap(), arrays());
    // The file is replaced, and no partial file is left.
    npz::write(&path, &Arrays::new()).unwrap();
    assert_eq!(npz::read(&path).unwrap(), Arrays::new());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    // A path that cannot be replaced: the partial file is removed, too.
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    assert!(message(npz::write(&taken, &arrays())).contains("taken: cannot access"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    let absent = folder.path().join("absent").join("stats.npz");
    assert!(message(npz::write(&absent, &arrays())).contains("stats.npz: cannot access"));
    assert!(message(npz::read(&absent)).contains("stats.npz: cannot access"));
}

#[test]
fn another_zip_reader_finds_every_entry_undamaged_and_aligned() {
    let bytes = npz::to_bytes("x", &arrays()).unwrap();
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names.len(), 4);
    for name in names {
        let mut content = Vec::new();
        // Reading to the end checks the CRC-32.
        zip.by_name(&name).unwrap().read_to_end(&mut content).unwrap();
        let header = usize::from(u16::from_le_bytes([content[8], content[9]]));
        assert_eq!((10 + header) % 64, 0);
        assert_eq!(content[9 + header], b'\n');
    }
}

#[test]
fn fortran_order_is_transposed() {
    let header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}";
    let data: Vec<u8> =
        [0f32, 3.0, 1.0, 4.0, 2.0, 5.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(npz::from_bytes("x", &stored(header, &data)).unwrap()["x"], arrays()["x"]);
}

#[test]
fn rejects_numpy_files_of_other_forms() {
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
    };
    let one = 1f32.to_le_bytes();
    let table = [
        (stored(&header("|O", "False", "(1,)"), &one), "values of type `|O`"),
        (stored(&header(">f4", "False", "(1,)"), &one), "values of type `>f4`"),
        (stored(&header("<f4", "False", "(2,)"), &one), "shape [2] does not fit its 4 bytes"),
        (stored(&header("<f4", "False", "(4294967296, 4294967296)"), &one), "does not fit"),
        (stored(&header("<f4", "False", "(-1,)"), &one), "not a tuple of sizes"),
        (stored(&header("<f4", "False", "(1, 1, 1, 1, 1)"), &one), "5 axes, at most 4"),
        (stored(&header("<f4", "True", "(1, 1, 1)"), &one), "Fortran order"),
        (stored(&header("<f4", "maybe", "(1,)"), &one), "fortran_order is `maybe`"),
        (stored("{'descr': '<f4'}", &one), "header has no `shape`"),
        (stored("", &one), "header has no"),
        (foreign("x.npy", b"hello", CompressionMethod::Stored), "not a NumPy array"),
        (foreign("x.npy", b"\x93NUMPY\x09\x00", CompressionMethod::Stored), "version 9"),
        (foreign("x.npy", b"\x93NUMPY\x01\x00\xff\xff", CompressionMethod::Stored), "truncated"),
        (
            foreign("x.npy", &[0; 500], CompressionMethod::Deflated),
            "compressed; save it with numpy.savez",
        ),
        (b"PK".to_vec(), "not an .npz file"),
        (vec![0; 100], "not an .npz file"),
    ];
    for (bytes, expected) in table {
        let got = message(npz::from_bytes("stats.npz", &bytes));
        assert!(
            got.starts_with("stats.npz: ") && got.contains(expected),
            "{got} without {expected}"
        );
    }
    let bad = Array { shape: vec![2], values: Values::F32(vec![0.0]) };
    let got = message(npz::to_bytes("out.npz", &Arrays::from([("x".to_owned(), bad)])));
    assert!(got.contains("out.npz: array `x`: shape [2] does not fit its 1 values"), "{got}");
}

#[test]
fn rejects_every_cut_and_every_flipped_byte_of_the_data() {
    let bytes = npz::to_bytes("x", &arrays()).unwrap();
    for length in 0..bytes.len() {
        assert!(npz::from_bytes("x", &bytes[..length]).is_err(), "cut at {length}");
    }
    let golden = std::fs::read(testdata("feats_resnet20_1000x64.npz")).unwrap();
    for at in (200..golden.len() / 2 - 1000).step_by(9973) {
        let mut damaged = golden.clone();
        damaged[at] ^= 0x10;
        assert!(message(npz::from_bytes("x", &damaged)).contains("CRC-32"), "byte {at}");
    }
}

/// Directory entries of the same bytes would expand a file of a megabyte to any size.
#[test]
fn rejects_overlapping_entries() {
    let array = Array { shape: vec![100], values: Values::F32(vec![0.0; 100]) };
    let bytes = npz::to_bytes("x", &Arrays::from([("0".to_owned(), array)])).unwrap();
    let place = |magic: &[u8]| bytes.windows(4).position(|it| it == magic).unwrap();
    let (directory, end) = (place(b"PK\x01\x02"), place(b"PK\x05\x06"));
    let entry = &bytes[directory..end];
    let mut file = [&bytes[..directory], &entry.repeat(3), &bytes[end..]].concat();
    let count = directory + 3 * entry.len() + 10;
    file[count] = 3;
    let got = message(npz::from_bytes("stats.npz", &file));
    assert!(got.contains("entry `0.npy` overlaps others"), "{got}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn damage_never_panics(changes in prop::collection::vec((0usize..2000, any::<u8>()), 1..6)) {
        let mut bytes = npz::to_bytes("x", &arrays()).unwrap();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        // Damage may keep a file valid.
        if let Ok(arrays) = npz::from_bytes("x", &bytes) {
            for array in arrays.values() {
                prop_assert_eq!(array.shape.iter().product::<usize>(), array.values.to_f64().len());
            }
        }
    }

    #[test]
    fn arrays_of_any_shape_round_trip(shape in prop::collection::vec(0usize..5, 0..5), wide: bool) {
        let count = shape.iter().product::<usize>();
        let values = if wide {
            Values::F64((0..count).map(|i| i as f64 / 3.0).collect())
        } else {
            Values::F32((0..count).map(|i| i as f32 / 3.0).collect())
        };
        let arrays = Arrays::from([("name".to_owned(), Array { shape, values })]);
        prop_assert_eq!(npz::from_bytes("x", &npz::to_bytes("x", &arrays).unwrap()).unwrap(), arrays);
    }
}
