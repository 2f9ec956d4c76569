//! EDM's and StyleGAN's data sets: PNG files in a zip or a folder, with `dataset.json`.
//!
//! Images are taken in the order of their names. `dataset.json` is
//! `{"labels": [["00000/img00000000.png", 6], ...]}`, a class or a vector for each image, or
//! `{"labels": null}`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::bounded::{self, is_safe_name};
use crate::dataset::{MAX_CLASSES, classes_up_to_largest};
use crate::folder::{self, Images};
use crate::{Dataset, Error, Labels, png};

/// The file of labels.
const INDEX: &str = "dataset.json";
/// The most bytes that it may have: ImageNet's has about 50 million.
const MAX_INDEX: u64 = 1 << 28;
/// Bytes that it may have beyond those of the zip file that it is in. It is smaller than its images,
/// and what is read from a label can be sixteen times as long as its text.
const INDEX_FLOOR: u64 = 1 << 22;
/// Images in one folder, as EDM's tool writes them.
const PER_FOLDER: usize = 1000;
const REMEDY: &str = "build the data set again";

/// `dataset.json`; other keys are passed over, as EDM does.
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

/// Whether a folder holds such a data set.
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
    images.labelled(&origin, labels)
}

/// Reads a zip file.
pub(crate) fn open_zip(path: &Path) -> Result<Dataset, Error> {
    read_zip(bounded::open(path)?, &path.display().to_string())
}

/// A data set from the content of a zip file; `origin` is what errors name.
///
/// # Errors
///
/// As [`Dataset::open`].
pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Dataset, Error> {
    read_zip(Cursor::new(bytes), origin)
}

fn read_zip(mut reader: impl Read + Seek, origin: &str) -> Result<Dataset, Error> {
    let broken =
        |error: zip::result::ZipError| malformed(origin, format!("not a whole zip file ({error})"));
    let unreadable = |source| Error::Unreadable { file: origin.to_owned(), source };
    let size = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
    let mut archive = ZipArchive::new(reader).map_err(broken)?;
    // The reader keeps one entry of each name: whose pixels they are would be up to it.
    if archive.has_duplicate_names() {
        return Err(malformed(origin, "two entries have the same name".to_owned()));
    }
    let mut names = BTreeMap::new();
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(broken)?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(broken)?.into_owned();
        if !is_safe_name(&name) {
            return Err(Error::UnsafeName { archive: origin.to_owned(), name });
        }
        names.insert(name, at);
    }
    let mut read = |name: &str, at: usize, limit: u64| -> Result<Vec<u8>, Error> {
        let file = format!("{origin}: {name}");
        let fault =
            |error: zip::result::ZipError| malformed(&file, format!("unreadable ({error})"));
        let entry = archive.by_index(at).map_err(fault)?;
        if limit < entry.size() {
            return Err(Error::TooLarge { file, limit });
        }
        bounded::read_all(entry, limit, &file)
    };
    let index_name = format!("{origin}: {INDEX}");
    let max_index = size.saturating_add(INDEX_FLOOR).min(MAX_INDEX);
    let json = names.get(INDEX).map(|&at| read(INDEX, at, max_index)).transpose()?;
    let mut images = Images::at_most(bounded::expanded(size));
    let mut image_names = Vec::new();
    for (name, at) in names {
        if folder::is_png(&name)? {
            let bytes = read(&name, at, images.largest_file())?;
            images.push(&bytes, &format!("{origin}: {name}"))?;
            image_names.push(name);
        }
    }
    let labels = match json {
        None => Labels::None,
        Some(json) => labels(&json, &image_names, origin, &index_name)?,
    };
    images.labelled(origin, labels)
}

/// The labels of these images, in their order.
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

/// Writes a data set as EDM's tool would: a stored zip if `path` ends in `.zip`, else a folder.
///
/// The file or folder appears whole or not at all: it is written beside its place and renamed.
///
/// # Errors
///
/// If there is something at `path` already, or the disk fails.
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

/// The content of the zip file that [`write()`] makes.
///
/// # Errors
///
/// If an image or the labels cannot be encoded.
pub fn to_bytes(dataset: &Dataset) -> Result<Vec<u8>, Error> {
    let memory = |source| Error::Io { path: "the data set to write".into(), source };
    Ok(zip_to(Cursor::new(Vec::new()), dataset, memory)?.into_inner())
}

fn write_zip(dataset: &Dataset, path: &Path) -> Result<(), Error> {
    let io = |source: std::io::Error| Error::Io { path: path.to_owned(), source };
    let file = std::io::BufWriter::new(File::create(path).map_err(io)?);
    let file = zip_to(file, dataset, io)?;
    file.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
}

/// Writes a stored zip; `io` says what could not be written.
fn zip_to<W: Write + Seek>(
    out: W,
    dataset: &Dataset,
    io: impl Fn(std::io::Error) -> Error,
) -> Result<W, Error> {
    let mut zip = ZipWriter::new(out);
    // PNG is compressed already.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries(dataset) {
        zip.start_file(name, options).map_err(|error| io(error.into()))?;
        zip.write_all(&bytes?).map_err(&io)?;
    }
    zip.finish().map_err(|error| io(error.into()))
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

/// Name and content of each file of the data set, `dataset.json` last.
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
