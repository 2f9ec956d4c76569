//! Round trips of every format, with every way to name a data set.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::{sample, write_all};
use crate::png::Image;
use crate::{Dataset, Error, Labels, cifar10, edm_zip, idx, png};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn class_bytes(dataset: &Dataset) -> Vec<u8> {
    (0..dataset.len()).map(|it| dataset.label(it).unwrap() as u8).collect()
}

/// Encodes the image and label files of a gray data set.
fn idx_files(dataset: &Dataset) -> (Vec<u8>, Vec<u8>) {
    let [_, height, width] = dataset.shape();
    let images = idx::encode(&[dataset.len(), height, width], dataset.pixels()).unwrap();
    (images, idx::encode(&[dataset.len()], &class_bytes(dataset)).unwrap())
}

/// Encodes a binary CIFAR batch.
fn cifar_batch(dataset: &Dataset, from: usize, to: usize) -> Vec<u8> {
    let record = |it| {
        let label = dataset.label(it).unwrap() as u8;
        std::iter::once(label).chain(dataset.image_u8(it).unwrap().iter().copied())
    };
    (from..to).flat_map(record).collect()
}

/// Makes a training part of one image per batch, and a test part of one image.
fn cifar_samples() -> (Dataset, Dataset) {
    let all = sample(6, [3, 32, 32]);
    let part = |from: usize, to: usize| {
        let labels = (from..to).map(|it| all.label(it).unwrap()).collect();
        let labels = Labels::Classes { classes: 10, of_image: labels };
        let pixels = all.pixels()[from * 3072..to * 3072].to_vec();
        Dataset::new("part", [3, 32, 32], pixels, labels)
            .unwrap()
            .with_class_names(cifar10::CLASSES)
    };
    (part(0, 5), part(5, 6))
}

#[test]
fn idx_round_trips_plain_and_gzipped_by_folder_file_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = (sample(7, [1, 5, 5]), sample(4, [1, 6, 6]));
    let ((train_images, train_labels), (test_images, test_labels)) =
        (idx_files(&train), idx_files(&test));
    assert_eq!(Dataset::from_idx_bytes(&train_images, &gzip(&train_labels)).unwrap(), train);
    write_all(
        folder.path(),
        &[
            ("train-images-idx3-ubyte", train_images),
            ("train-labels-idx1-ubyte", train_labels),
            ("t10k-images-idx3-ubyte.gz", gzip(&test_images)),
            ("t10k-labels-idx1-ubyte.gz", gzip(&test_labels)),
            ("lone-images-idx3-ubyte", test_images),
        ],
    );
    let open = |suffix: &str| {
        let path = format!("{}{suffix}", folder.path().display());
        Dataset::open(path.as_ref()).unwrap()
    };
    assert_eq!(open(""), train);
    assert_eq!(open("#train"), train);
    assert_eq!(open("#test"), test);
    assert_eq!(open("/t10k-images-idx3-ubyte.gz"), test);
    assert_eq!(open("/lone-images-idx3-ubyte").labels(), &Labels::None);
    assert_eq!(open("/lone-images-idx3-ubyte").pixels(), test.pixels());
}

#[test]
fn cifar10_reads_the_same_from_batches_archive_and_sheets() {
    let (train, test) = cifar_samples();
    let binary = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut add = |name: &str, bytes: &[u8]| {
        let path = format!("cifar-10-batches-bin/{name}");
        write_all(binary.path(), &[(&path, bytes.to_vec())]);
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, path, bytes).unwrap();
    };
    add("readme.html", b"not a batch");
    // An archive may have any order: the fifth batch is first.
    for batch in [5, 1, 2, 3, 4] {
        add(&format!("data_batch_{batch}.bin"), &cifar_batch(&train, batch - 1, batch));
    }
    add("test_batch.bin", &cifar_batch(&test, 0, 1));
    let archive_path = binary.path().join("archive");
    std::fs::write(&archive_path, archive.into_inner().unwrap().finish().unwrap()).unwrap();

    let sheets = tempfile::tempdir().unwrap();
    let sheet = |dataset: &Dataset, at: usize| {
        let image = Image::from_planar(1, 1024, dataset.image_u8(at).unwrap());
        png::encode(&image).unwrap()
    };
    let train_sheets = (0..5).map(|it| (format!("data_batch_{}.png", it + 1), sheet(&train, it)));
    for (name, bytes) in train_sheets.chain([("test_batch.png".to_owned(), sheet(&test, 0))]) {
        write_all(sheets.path(), &[(&name, bytes)]);
    }
    let json = |dataset| serde_json::to_vec(&class_bytes(dataset)).unwrap();
    write_all(
        sheets.path(),
        &[("train_lables.json", json(&train)), ("test_lables.json", json(&test))],
    );

    for root in
        [binary.path(), &binary.path().join("cifar-10-batches-bin"), &archive_path, sheets.path()]
    {
        assert_eq!(Dataset::open(root).unwrap(), train, "{}", root.display());
        let spec = format!("{}#test", root.display());
        assert_eq!(Dataset::open(spec.as_ref()).unwrap(), test, "{}", root.display());
    }
    assert_eq!(train.class_names()[9], "truck");
}

#[test]
fn edm_round_trips_as_zip_and_folder_with_each_kind_of_label() {
    let of = |labels: Labels| {
        Dataset::new("x", [3, 4, 4], sample(5, [3, 4, 4]).pixels().to_vec(), labels).unwrap()
    };
    let soft = vec![0.25, -1.5, 3.0, 0.1, 7.0, 8.0, 1e-20, 1.0, 0.0, 2.0];
    for dataset in [
        of(Labels::None),
        of(Labels::Classes { classes: 9, of_image: vec![8, 0, 3, 3, 1] }),
        of(Labels::Soft { width: 2, values: soft }),
        sample(1003, [1, 2, 2]), // More than one folder of a thousand.
    ] {
        let root = tempfile::tempdir().unwrap();
        for name in ["set.zip", "set"] {
            let path = root.path().join(name);
            edm_zip::write(&dataset, &path).unwrap();
            assert_eq!(Dataset::open(&path).unwrap(), dataset, "{name}");
            assert!(edm_zip::write(&dataset, &path).is_err(), "overwrites {name}");
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 2, "a partial file is left");
        let bytes = std::fs::read(root.path().join("set.zip")).unwrap();
        assert_eq!(edm_zip::from_bytes(&bytes, "bytes").unwrap(), dataset);
    }
}

#[test]
fn edm_labels_are_matched_by_name() {
    let root = tempfile::tempdir().unwrap();
    let [first, second] = [11, 22].map(|it| png::encode(&Image::from_planar(1, 1, &[it])).unwrap());
    let json = br#"{"labels": [["b/2.png", 4], ["a/1.png", 1]], "tool": "other keys are fine"}"#;
    write_all(
        root.path(),
        &[("b/2.png", second), ("a/1.png", first), ("dataset.json", json.to_vec())],
    );
    let dataset = Dataset::open(root.path()).unwrap();
    assert_eq!((dataset.pixels(), dataset.classes()), ([11, 22].as_slice(), 5));
    assert_eq!((dataset.label(0), dataset.label(1)), (Some(1), Some(4)));
}

#[test]
fn subfolders_are_classes_and_a_flat_folder_has_none() {
    let image = |it: u8| png::encode(&Image::from_planar(1, 1, &[it, it + 1, it + 2])).unwrap();
    let tree = tempfile::tempdir().unwrap();
    write_all(
        tree.path(),
        &[
            ("dog/deep/1.PNG", image(20)),
            ("dog/0.png", image(40)),
            ("cat/z.png", image(10)),
            ("cat/notes.txt", b"ignored".to_vec()),
            (".hidden/0.png", image(0)),
        ],
    );
    let dataset = Dataset::open(tree.path()).unwrap();
    assert_eq!(dataset.class_names(), ["cat", "dog"]);
    assert_eq!(dataset.pixels(), [10, 11, 12, 40, 41, 42, 20, 21, 22]);
    assert_eq!(class_bytes(&dataset), [0, 1, 1]);

    let flat = tempfile::tempdir().unwrap();
    write_all(flat.path(), &[("b.png", image(5)), ("a.png", image(1))]);
    let dataset = Dataset::open(flat.path()).unwrap();
    assert_eq!(
        (dataset.pixels(), dataset.labels()),
        ([1, 2, 3, 5, 6, 7].as_slice(), &Labels::None)
    );

    let edm = tempfile::tempdir().unwrap();
    write_all(
        edm.path(),
        &[("00000/img00000000.png", image(1)), ("00001/img00001000.png", image(5))],
    );
    assert_eq!(Dataset::open(edm.path()).unwrap().labels(), &Labels::None);
}

#[test]
fn padding_adds_black_and_truncation_keeps_the_first_images() {
    let dataset = Dataset::new("x", [1, 2, 2], vec![1, 2, 3, 4, 5, 6, 7, 8], Labels::None).unwrap();
    let padded = dataset.pad(1).unwrap();
    assert_eq!(padded.shape(), [1, 4, 4]);
    #[rustfmt::skip]
    assert_eq!(padded.image_u8(1).unwrap(), [
        0, 0, 0, 0,
        0, 5, 6, 0,
        0, 7, 8, 0,
        0, 0, 0, 0,
    ]);
    assert_eq!(dataset.clone().truncate(1).pixels(), [1, 2, 3, 4]);
    assert_eq!(dataset.clone().truncate(9), dataset);
    assert!(matches!(dataset.pad(1 << 40), Err(Error::Padding { margin: 0x100_0000_0000, .. })));
    assert!(dataset.pad(usize::MAX).is_err());
    let labeled = sample(5, [3, 4, 4]).truncate(2);
    assert_eq!((labeled.len(), labeled.classes(), labeled.label(2)), (2, 3, None));
}

#[test]
fn selections_keep_labels_with_their_images() {
    let dataset = sample(6, [1, 2, 2]);
    let picked = dataset.select(&[4, 1, 4]).unwrap();
    for (at, from) in [4, 1, 4].into_iter().enumerate() {
        assert_eq!(picked.image_u8(at).unwrap(), dataset.image_u8(from).unwrap());
        assert_eq!(picked.label(at), dataset.label(from));
    }
    assert_eq!((picked.len(), picked.classes()), (3, dataset.classes()));
    let soft = Labels::Soft { width: 2, values: (0..12).map(|it| it as f32).collect() };
    let soft = Dataset::new("soft", [1, 2, 2], dataset.pixels().to_vec(), soft).unwrap();
    let picked = soft.select(&[5, 0]).unwrap();
    assert_eq!(*picked.labels(), Labels::Soft { width: 2, values: vec![10.0, 11.0, 0.0, 1.0] });
    assert!(matches!(dataset.select(&[]), Err(Error::EmptySelection)));
    assert!(matches!(dataset.select(&[6]), Err(Error::Index { index: 6, len: 6 })));

    assert_eq!(dataset.thin(3).unwrap(), dataset.select(&[0, 2, 4]).unwrap());
    assert_eq!(dataset.thin(4).unwrap(), dataset.select(&[0, 1, 3, 4]).unwrap());
    assert_eq!(dataset.thin(9).unwrap(), dataset);
}

#[test]
fn the_hash_depends_on_shape_pixels_and_labels_alone() {
    let dataset = sample(4, [1, 6, 6]);
    let with = |shape, labels| {
        Dataset::new("other", shape, dataset.pixels().to_vec(), labels).unwrap().content_hash()
    };
    let hash = dataset.content_hash();
    assert_eq!(with([1, 6, 6], dataset.labels().clone()), hash);
    assert_eq!(dataset.clone().with_class_names(["a", "b", "c"]).content_hash(), hash);
    assert_ne!(with([1, 6, 6], Labels::None), hash);
    assert_ne!(with([1, 3, 3], Labels::None), with([1, 6, 6], Labels::None));
    assert_ne!(dataset.pad(1).unwrap().content_hash(), hash);
    let others = Labels::Classes { classes: 3, of_image: vec![0, 1, 2, 1] };
    assert_ne!(with([1, 6, 6], others), hash);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_data_set_survives_idx_and_edm(images in 1usize..9, side in 1usize..9, rgb: bool) {
        let dataset = sample(images.max(3), [if rgb { 3 } else { 1 }, side, side]);
        if !rgb {
            let (images, labels) = idx_files(&dataset);
            prop_assert_eq!(Dataset::from_idx_bytes(&images, &labels).unwrap(), dataset.clone());
        }
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("set.zip");
        edm_zip::write(&dataset, &path).unwrap();
        prop_assert_eq!(Dataset::open(&path).unwrap(), dataset);
    }
}
