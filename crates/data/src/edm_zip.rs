//! EDM's and StyleGAN's data sets: PNG files in a zip or a folder, with `dataset.json`.
//!
//! Images are read in the order of their names. `dataset.json` is
//! `{"labels": [["00000/img00000000.png", 6], ...]}`, with a class or a vector for each image, or
//! `{"labels": null}`. Zip files need the feature `archives`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::archive::{self, ZipFiles};
use crate::bounded::{self, is_safe_name};
use crate::dataset::{MAX_CLASSES, classes_up_to_largest};
use crate::folder::{self, Images};
use crate::{Dataset, Error, Labels, png};

/// File of the labels.
const INDEX: &str = "dataset.json";
/// Largest size of the labels' file, in bytes: ImageNet's has about 50 million.
const MAX_INDEX: u64 = 1 << 28;
/// Bytes that the labels' file may have in addition to the size of its zip file. The file is
/// smaller than its images, and a label in memory can be sixteen times as long as its text.
const INDEX_FLOOR: u64 = 1 << 22;
/// Images in one folder, as in the output of EDM's tool.
const PER_FOLDER: usize = 1000;
/// Remedy for a malformed data set.
const REMEDY: &str = "build the data set again";

/// Content of `dataset.json`. Other keys are ignored, as in EDM.
#[derive(Deserialize, Serialize)]
struct Index {
    labels: Option<Vec<(String, Label)>>,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Label {
    Class(i64),
    Soft(Vec<f32>),
}

/// Tests whether a folder has a file of labels.
pub(crate) fn is_folder(folder: &Path) -> bool {
    folder.join(INDEX).is_file()
}

/// Reads a folder with `dataset.json`.
pub(crate) fn open_folder(path: &Path) -> Result<Dataset, Error> {
    let origin = path.display().to_string();
    let mut files = BTreeMap::new();
    for file in folder::pngs(path)? {
        let inside = file.strip_prefix(path).unwrap_or(&file);
        let parts: Vec<_> = inside.iter().map(|it| it.to_string_lossy()).collect();
        files.insert(parts.join("/"), file);
    }
    let images = Images::of_files(files.values())?;
    let index_path = path.join(INDEX);
    let index_file = index_path.display().to_string();
    let json = bounded::read_all(bounded::open(&index_path)?, MAX_INDEX, &index_file)?;
    let labels = labels(&json, &files.into_keys().collect::<Vec<_>>(), &origin, &index_file)?;
    images.labeled(&origin, labels)
}

/// Reads a zip file.
pub(crate) fn open_zip(path: &Path) -> Result<Dataset, Error> {
    read_zip(bounded::open(path)?, &path.display().to_string())
}

/// Reads a data set from the content of a zip file; `origin` names it in errors.
///
/// # Errors
///
/// As [`Dataset::open`].
pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Dataset, Error> {
    read_zip(Cursor::new(bytes), origin)
}

fn read_zip(reader: impl Read + Seek, origin: &str) -> Result<Dataset, Error> {
    let mut files = ZipFiles::open(reader, origin)?;
    let size = files.size();
    let index_limit = size.saturating_add(INDEX_FLOOR).min(MAX_INDEX);
    let json = files.read(INDEX, index_limit)?;
    let mut images = Images::at_most(bounded::expanded(size));
    let mut image_names = Vec::new();
    for name in files.names() {
        if !folder::is_png(&name)? {
            continue;
        }
        if let Some(bytes) = files.read(&name, images.largest_file())? {
            images.push(&bytes, &format!("{origin}: {name}"))?;
            image_names.push(name);
        }
    }
    let labels = match json {
        None => Labels::None,
        Some(json) => labels(&json, &image_names, origin, &format!("{origin}: {INDEX}"))?,
    };
    images.labeled(origin, labels)
}

/// Parses the labels of these images, in their order.
fn labels(json: &[u8], images: &[String], origin: &str, file: &str) -> Result<Labels, Error> {
    let index: Index = serde_json::from_slice(json)
        .map_err(|error| malformed(file, format!("not labels of images ({error})")))?;
    let Some(list) = index.labels else { return Ok(Labels::None) };
    let count = list.len();
    let mut by_name = BTreeMap::new();
    for (name, label) in list {
        if !is_safe_name(&name) {
            return Err(Error::UnsafeName { archive: origin.to_owned(), name });
        }
        by_name.insert(name, label);
    }
    if count != images.len() || by_name.len() != count {
        return Err(Error::Count { file: file.to_owned(), images: images.len(), labels: count });
    }
    let mixed = || malformed(file, "labels of different kinds or lengths".to_owned());
    let mut classes = Vec::new();
    let mut soft: Vec<f32> = Vec::new();
    let mut width = None;
    for (index, name) in images.iter().enumerate() {
        match by_name.remove(name) {
            None => return Err(malformed(file, format!("no label for the image {name:?}"))),
            Some(Label::Class(label)) => {
                let class = u32::try_from(label).ok().filter(|&it| (it as usize) < MAX_CLASSES);
                classes.push(class.ok_or_else(|| Error::LabelRange {
                    file: file.to_owned(),
                    index,
                    label,
                    classes: MAX_CLASSES,
                })?);
            }
            Some(Label::Soft(values)) => {
                if *width.get_or_insert(values.len()) != values.len() {
                    return Err(mixed());
                }
                soft.extend(values);
            }
        }
    }
    match width {
        None => Ok(classes_up_to_largest(classes)),
        Some(width) if classes.is_empty() => Ok(Labels::Soft { width, values: soft }),
        Some(_) => Err(mixed()),
    }
}

/// Writes a data set in the form of EDM's tool: a stored zip if `path` ends in `.zip`, else a
/// folder.
///
/// The file or folder is complete or absent: it is written next to its place and renamed.
///
/// # Errors
///
/// If `path` exists already, the disk fails, or a zip is requested without the feature `archives`.
pub fn write(dataset: &Dataset, path: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    if path.exists() {
        return Err(io(std::io::ErrorKind::AlreadyExists.into()));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = Path::new(&partial);
    let is_zip = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("zip"));
    let written = if is_zip { write_zip(dataset, partial) } else { write_folder(dataset, partial) };
    let renamed = written.and_then(|()| fs::rename(partial, path).map_err(io));
    if renamed.is_err() {
        // The first error is the one to report.
        let _ = if is_zip { fs::remove_file(partial) } else { fs::remove_dir_all(partial) };
    }
    renamed
}

/// Encodes the zip file that [`write()`] writes.
///
/// # Errors
///
/// If an image or the labels cannot be encoded, or without the feature `archives`.
pub fn to_bytes(dataset: &Dataset) -> Result<Vec<u8>, Error> {
    let memory = |source| Error::Io { path: "the data set to write".into(), source };
    Ok(archive::write_zip(Cursor::new(Vec::new()), entries(dataset), memory)?.into_inner())
}

fn write_zip(dataset: &Dataset, path: &Path) -> Result<(), Error> {
    let io = |source: std::io::Error| Error::Io { path: path.to_owned(), source };
    let file = std::io::BufWriter::new(File::create(path).map_err(io)?);
    let file = archive::write_zip(file, entries(dataset), io)?;
    file.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
}

fn write_folder(dataset: &Dataset, path: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    for (name, bytes) in entries(dataset) {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap_or(path)).map_err(io)?;
        fs::write(file, bytes?).map_err(io)?;
    }
    Ok(())
}

/// Encodes each file of the data set, by name, `dataset.json` last.
fn entries(dataset: &Dataset) -> impl Iterator<Item = (String, Result<Vec<u8>, Error>)> {
    let [_, height, width] = dataset.shape();
    let name = |index: usize| format!("{:05}/img{index:08}.png", index / PER_FOLDER);
    let images = (0..dataset.len()).map(move |index| {
        let image = dataset.image_u8(index);
        (name(index), image.and_then(|it| png::encode(&png::Image::from_planar(height, width, it))))
    });
    let index = std::iter::once_with(move || {
        let labels = match dataset.labels() {
            Labels::None => None,
            Labels::Classes { of_image, .. } => {
                Some(of_image.iter().map(|&it| Label::Class(it.into())).collect())
            }
            Labels::Soft { width, values } => {
                Some(values.chunks_exact(*width).map(|it| Label::Soft(it.to_vec())).collect())
            }
        };
        let labels: Option<Vec<Label>> = labels;
        let labels = labels.map(|it| (0..).map(name).zip(it).collect());
        let json = serde_json::to_vec(&Index { labels });
        (
            INDEX.to_owned(),
            json.map_err(|error| malformed("the labels to write", error.to_string())),
        )
    });
    images.chain(index)
}

fn malformed(file: &str, problem: String) -> Error {
    Error::Malformed { file: file.to_owned(), problem, remedy: REMEDY }
}
