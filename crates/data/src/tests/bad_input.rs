//! Every kind of bad file is an error that names the file and the remedy; none is a panic.

use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::{report, sample, write_all};
use crate::png::Image;
use crate::{Dataset, Error, Labels, edm_zip, idx, png};

fn gray(side: usize) -> Vec<u8> {
    png::encode(&Image::from_planar(side, side, &vec![7; side * side])).unwrap()
}

fn zip_of(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Opens a folder of these files and returns the error's message, with `DIR` for the folder.
#[track_caller]
fn fault_of(files: &[(&str, Vec<u8>)], suffix: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    write_all(root.path(), files);
    let path = format!("{}{suffix}", root.path().display());
    let error = Dataset::open(Path::new(&path)).unwrap_err();
    report(&error).replace(&root.path().display().to_string(), "DIR")
}

#[track_caller]
fn check(files: &[(&str, Vec<u8>)], suffix: &str, expected: &str) {
    let fault = fault_of(files, suffix);
    assert!(fault.contains(expected), "{fault:?} without {expected:?}");
}

fn idx_folder(images: Vec<u8>, labels: Vec<u8>) -> [(&'static str, Vec<u8>); 2] {
    [("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)]
}

#[test]
fn bad_idx_files_are_named() {
    let images = idx::encode(&[2, 3, 3], &[1; 18]).unwrap();
    let labels = idx::encode(&[2], &[0, 1]).unwrap();
    let cut = images[..images.len() - 1].to_vec();
    check(
        &idx_folder(cut, labels.clone()),
        "",
        "DIR/train-images-idx3-ubyte: the header announces 18 bytes, 17 follow; give a complete IDX file",
    );
    let long = [images.clone(), vec![0]].concat();
    check(&idx_folder(long, labels.clone()), "", "holds more than the 18 bytes allowed");
    check(&idx_folder(images[..7].to_vec(), labels.clone()), "", "truncated or corrupt");
    check(
        &idx_folder(labels.clone(), labels.clone()),
        "",
        "where IDX begins with [00, 00, 08, 03]",
    );
    let three = idx::encode(&[3], &[0, 1, 2]).unwrap();
    check(
        &idx_folder(images.clone(), three),
        "",
        "DIR/train-labels-idx1-ubyte: 3 labels for 2 images",
    );
    let oblong = idx::encode(&[2, 3, 2], &[1; 12]).unwrap();
    check(&idx_folder(oblong, labels.clone()), "", "crop them to squares");
    let none = idx::encode(&[0, 3, 3], &[]).unwrap();
    let no_labels = idx::encode(&[0], &[]).unwrap();
    check(&idx_folder(none, no_labels), "", "no images");
    let huge = [&[0, 0, 8, 3][..], &[0xff; 12]].concat();
    check(&idx_folder(huge, labels.clone()), "", "holds more than the 17179869184 bytes");
    check(&idx_folder(images.clone(), labels.clone())[..1], "", "train-labels-idx1-ubyte[.gz]");
    check(&idx_folder(images.clone(), labels.clone()), "#test", "t10k-images-idx3-ubyte[.gz]");
    check(&idx_folder(images.clone(), labels), "#dev", "has no part \"dev\"; write #train");
    check(&[("a-images-idx3", images)], "/a-images-idx3#test", "its form has no parts");
}

#[test]
fn a_corrupt_gzip_file_is_named() {
    let mut gz =
        include_bytes!("../../../../assets/fashion-mnist/t10k-labels-idx1-ubyte.gz").to_vec();
    gz.truncate(gz.len() / 2);
    let images = idx::encode(&[1, 1, 1], &[1]).unwrap();
    check(&idx_folder(images, gz), "", "DIR/train-labels-idx1-ubyte: truncated or corrupt");
}

#[test]
fn bad_cifar_files_are_named() {
    let batch = |label: u8| [vec![label], vec![5; 3072]].concat();
    let names = [1, 2, 3, 4, 5].map(|it| format!("data_batch_{it}.bin"));
    let with_last = |last: Vec<u8>| {
        let mut files: Vec<_> = names.iter().map(|it| (it.as_str(), batch(1))).collect();
        files[4].1 = last;
        files
    };
    check(&with_last(batch(10)), "", "DIR/data_batch_5.bin: label 10 of image 0 is outside 0..10");
    check(&with_last(vec![1; 3072]), "", "data_batch_5.bin: 3072 bytes are not whole records");
    check(&with_last(vec![1; 30_730_001]), "", "holds more than the 30730000 bytes");
    check(&with_last(batch(1))[..4], "", "DIR/data_batch_5.bin: cannot access");
    check(&with_last(batch(1)), "#test", "DIR/test_batch.bin: cannot access");

    let sheet = png::encode(&Image::from_planar(1, 1024, &[3; 3072])).unwrap();
    let sheets =
        |png: Vec<u8>, json: &[u8]| [("test_batch.png", png), ("test_lables.json", json.to_vec())];
    check(&sheets(sheet.clone(), b"[1, 2]"), "#test", "2 labels for 1 images");
    check(&sheets(sheet.clone(), b"[]"), "#test", "0 labels for 1 images");
    check(&sheets(sheet.clone(), b"[300]"), "#test", "not a JSON list of small numbers");
    check(&sheets(sheet, b"[10]"), "#test", "label 10 of image 0");
    check(&sheets(gray(4), b"[1]"), "#test", "a sheet is an RGB PNG, 1024 pixels wide");
}

#[test]
fn bad_archives_of_cifar_are_named() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_cksum();
    tar.append_data(&mut header, "test_batch.bin", &[1u8, 2, 3, 4][..]).unwrap();
    let bytes = tar.into_inner().unwrap();
    check(
        &[("c.tar", bytes.clone())],
        "/c.tar",
        "DIR/c.tar: no entry data_batch_1.bin; give the complete binary",
    );
    check(&[("c.tar", bytes)], "/c.tar#test", "DIR/c.tar: test_batch.bin: 4 bytes are not whole");
}

#[test]
fn bad_edm_sets_are_named() {
    let set = |json: &str, images: &[(&'static str, Vec<u8>)]| {
        let mut files = vec![("dataset.json", json.as_bytes().to_vec())];
        files.extend(images.iter().cloned());
        files
    };
    let two = [("0/a.png", gray(2)), ("0/b.png", gray(2))];
    #[rustfmt::skip]
    let table = [
        (r#"{"labels": [["0/a.png", 1]]}"#, "1 labels for 2 images"),
        (r#"{"labels": [["0/a.png", 1], ["0/a.png", 2]]}"#, "2 labels for 2 images"),
        (r#"{"labels": [["0/a.png", 1], ["0/c.png", 2]]}"#, "no label for the image \"0/b.png\""),
        (r#"{"labels": [["0/a.png", -1], ["0/b.png", 2]]}"#, "label -1 of image 0 is outside"),
        (r#"{"labels": [["0/a.png", 4000000000], ["0/b.png", 2]]}"#, "label 4000000000 of image 0"),
        (r#"{"labels": [["0/a.png", 1], ["0/b.png", [1.0]]]}"#, "different kinds or lengths"),
        (r#"{"labels": [["0/a.png", [1.0, 2.0, 3.0]], ["0/b.png", [1.0]]]}"#, "different kinds or lengths"),
        (r#"{"labels": [["0/a.png", []], ["0/b.png", []]]}"#, "labels of 0 values"),
        (r#"{"labels": [["0/a.png", [1e39]], ["0/b.png", [0]]]}"#, "is not finite"),
        (r#"{"labels": [["../a.png", 1], ["0/b.png", 1]]}"#, "climbs out of the archive"),
        (r#"{"labels": 3}"#, "dataset.json: not labels of images"),
        ("{", "dataset.json: not labels of images"),
    ];
    for (json, expected) in table {
        check(&set(json, &two), "", expected);
        check(&[("set.zip", zip_of(&set(json, &two)))], "/set.zip", expected);
    }
    let null = r#"{"labels": null}"#;
    for (images, expected) in [
        ([("0/a.png", gray(2)), ("0/b.png", gray(3))], "an image of [1, 3, 3]"),
        ([("0/a.png", gray(2)), ("0/b.png", b"GIF89a".to_vec())], "0/b.png: not a PNG"),
        ([("0/a.png", gray(2)), ("0/b.jpg", vec![])], "convert all images to PNG"),
        ([("0/a.png", gray(2)), ("0/b.png", vec![0; 70_000])], "holds more than the 65544 bytes"),
        ([("0/a.txt", vec![]), ("0/b.txt", vec![])], "no images"),
    ] {
        check(&set(null, &images), "", expected);
        check(&[("set.zip", zip_of(&set(null, &images)))], "/set.zip", expected);
    }
}

#[test]
fn rejects_names_that_leave_the_archive() {
    for name in ["../a.png", "/a.png", "0/../../a.png", "C:\\a.png", "..\\a.png"] {
        let error = edm_zip::from_bytes(&zip_of(&[(name, gray(2))]), "set.zip").unwrap_err();
        assert!(
            matches!(&error, Error::UnsafeName { name: found, .. } if found == name),
            "{error}"
        );
    }
}

#[test]
fn rejects_two_entries_of_one_name() {
    let mut bytes = zip_of(&[("0/a.png", gray(2)), ("0/b.png", gray(2))]);
    let places: Vec<_> =
        (0..bytes.len() - 7).filter(|&it| bytes[it..].starts_with(b"0/b.png")).collect();
    assert_eq!(places.len(), 2, "a local header and the directory");
    places.into_iter().for_each(|at| bytes[at + 2] = b'a');
    let error = edm_zip::from_bytes(&bytes, "set.zip").unwrap_err().to_string();
    assert!(error.starts_with("set.zip: two entries have the same name; build"), "{error}");
}

#[test]
fn rejects_a_zip_bomb_of_any_declared_size() {
    let entries = [("0/a.png", gray(2)), ("0/b.png", vec![0; 9 << 20])];
    let mut bytes = zip_of(&entries);
    let error = edm_zip::from_bytes(&bytes, "x").unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 65_544, .. }), "{error}");
    // The same entry, declared to unpack to 100 bytes in both headers.
    let declared = (9u32 << 20).to_le_bytes();
    let places: Vec<_> = (0..bytes.len() - 4).filter(|&it| bytes[it..it + 4] == declared).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
    }
    assert!(edm_zip::from_bytes(&bytes, "x").is_err());
}

/// A deflated PNG file is compressed twice: six black images of 16 MB each in 3 kB.
#[test]
fn rejects_zeros_that_are_compressed_twice() {
    const SIDE: usize = 4096;
    let pixels = vec![0; SIDE * SIDE];
    let black = png::encode(&Image { channels: 1, height: SIDE, width: SIDE, pixels }).unwrap();
    let names = ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png"];
    let bomb = zip_of(&names.map(|name| (name, black.clone())));
    let message = edm_zip::from_bytes(&bomb, "x.zip").unwrap_err().to_string();
    let expected =
        format!("x.zip: e.png: holds more than the {} bytes", (64 << 20) + 1000 * bomb.len());
    assert!(message.starts_with(&expected), "{message}");
}

/// The file of labels is mostly spaces, which a JSON parser would skip one by one.
#[test]
fn rejects_labels_larger_than_their_data_set() {
    let spaces = [vec![b' '; 5 << 20], b"{\"labels\":null}".to_vec()].concat();
    let bomb = zip_of(&[("dataset.json", spaces), ("a.png", gray(2))]);
    let message = edm_zip::from_bytes(&bomb, "x.zip").unwrap_err().to_string();
    let expected =
        format!("x.zip: dataset.json: holds more than the {} bytes", (1 << 22) + bomb.len());
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn bad_trees_are_named() {
    check(&[("cat/a.png", gray(2)), ("dog/notes.txt", vec![])], "", "DIR/dog: no images");
    check(&[("cat/a.png", gray(2)), ("b.png", gray(2))], "", "DIR/b.png: an image next to");
    check(&[("cat/a.png", gray(2)), ("dog/a.png", gray(3))], "", "DIR/dog/a.png: an image of");
    check(&[("notes.txt", vec![])], "", "DIR: not a data set; expected");
    check(&[("notes.txt", b"hello".to_vec())], "/notes.txt", "DIR/notes.txt: not a data set");
    check(&[], "/missing", "DIR/missing: cannot access");
}

#[test]
fn labels_must_fit_their_images() {
    let of = |labels| Dataset::new("x", [1, 1, 1], vec![0; 2], labels).unwrap_err().to_string();
    let classes = |classes, of_image| Labels::Classes { classes, of_image };
    assert!(of(classes(2, vec![0, 2])).contains("label 2 of image 1 is outside 0..2"));
    assert!(of(classes(2, vec![0])).contains("1 labels for 2 images"));
    assert!(of(classes(1 << 20, vec![0, 1])).contains("1048576 values"));
    assert!(of(Labels::Soft { width: 2, values: vec![0.0; 3] }).contains("not rows of 2"));
    assert!(of(Labels::Soft { width: 1, values: vec![0.0, f32::NAN] }).contains("not finite"));
    assert!(Dataset::new("x", [2, 1, 1], vec![0; 2], Labels::None).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rejects_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Dataset::from_idx_bytes(&bytes, &bytes).is_err());
        prop_assert!(edm_zip::from_bytes(&bytes, "x").is_err());
        let headed = [&[0, 0, 8, 3][..], &bytes].concat();
        let _ = Dataset::from_idx_bytes(&headed, &bytes);
    }

    #[test]
    fn rejects_cut_files(cut in 0.0..1.0) {
        let dataset = sample(3, [1, 2, 2]);
        let images = idx::encode(&[3, 2, 2], dataset.pixels()).unwrap();
        let labels = idx::encode(&[3], &[0, 1, 2]).unwrap();
        let upto = |it: &[u8]| it[..(it.len() as f64 * cut) as usize].to_vec();
        prop_assert!(Dataset::from_idx_bytes(&upto(&images), &labels).is_err());
        prop_assert!(Dataset::from_idx_bytes(&images, &upto(&labels)).is_err());
        let zip = zip_of(&[("a.png", gray(2)), ("b.png", gray(2))]);
        prop_assert!(edm_zip::from_bytes(&upto(&zip), "x").is_err());
    }

    #[test]
    fn damaged_zip_files_do_not_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let json = br#"{"labels": [["a.png", 1], ["b.png", 0]]}"#.to_vec();
        let mut zip = zip_of(&[("a.png", gray(2)), ("b.png", gray(2)), ("dataset.json", json)]);
        for (at, byte) in damage {
            let at = at.index(zip.len());
            zip[at] = byte;
        }
        let _ = edm_zip::from_bytes(&zip, "x");
    }
}
