//! The IDX files of MNIST and its relatives, plain or gzipped.
//!
//! Layout (LeCun, Cortes and Burges, "The MNIST database", file format section): two zero bytes,
//! a type byte (8 = unsigned bytes), the number of dimensions, each dimension as a big-endian
//! `u32`, then the data, last dimension fastest.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bounded::{self, MAX_PIXELS};
use crate::dataset::{classes_up_to_largest, hex};
use crate::{Dataset, Error, Labels, Split};
use sha2::{Digest, Sha256};

/// Type byte of unsigned bytes.
const UNSIGNED_BYTES: u8 = 8;
/// Largest number of labels in a file.
const MAX_LABELS: u64 = 1 << 28;
/// Remedy for a file that is not IDX.
const REMEDY: &str = "give a complete IDX file of unsigned bytes, plain or gzipped";

/// Classes of Fashion-MNIST, by label (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747, Table 2).
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// SHA-256 of Fashion-MNIST's two label files, uncompressed: IDX has no field for class names, so
/// the set is recognized by its labels.
const FASHION_MNIST_LABELS: [&str; 2] = [
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
];

impl Dataset {
    /// Reads images and labels from the content of two IDX files, plain or gzipped.
    ///
    /// # Errors
    ///
    /// As [`Dataset::open`].
    pub fn from_idx_bytes(images: &[u8], labels: &[u8]) -> Result<Self, Error> {
        let [image_name, label_name] = ["the IDX images", "the IDX labels"];
        let images = bounded::plain_or_gzip(images, image_name)?;
        let labels = bounded::plain_or_gzip(labels, label_name)?;
        assemble(image_name, images, Some((label_name, labels)))
    }
}

/// Reads an image file, and the label file next to it if there is one.
pub(crate) fn open_file(path: &Path) -> Result<Dataset, Error> {
    let labels = labels_next_to(path).filter(|it| it.is_file());
    open_pair(path, labels.as_deref())
}

/// Reads the images and labels of one split of a folder of four files.
pub(crate) fn open_folder(folder: &Path, split: Split) -> Result<Dataset, Error> {
    let stem = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let images = existing(folder, &format!("{stem}-images-idx3-ubyte"))?;
    let labels = existing(folder, &format!("{stem}-labels-idx1-ubyte"))?;
    open_pair(&images, Some(&labels))
}

/// Tests whether a folder holds images in IDX files.
pub(crate) fn is_folder(folder: &Path) -> bool {
    ["train", "t10k"]
        .iter()
        .any(|stem| existing(folder, &format!("{stem}-images-idx3-ubyte")).is_ok())
}

/// Tests for the first bytes of an uncompressed IDX file of bytes.
pub(crate) fn is_magic(head: &[u8]) -> bool {
    head.starts_with(&[0, 0, UNSIGNED_BYTES])
}

/// Encodes bytes of these dimensions, `[N, H, W]` for images, as an IDX file.
///
/// # Errors
///
/// If a dimension does not fit the format, or the dimensions do not fit the bytes.
pub fn encode(dims: &[usize], bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let problem = |problem: String| malformed("the data to write", problem);
    let rank = u8::try_from(dims.len()).map_err(|_| problem("more than 255 dimensions".into()))?;
    if dims.iter().product::<usize>() != bytes.len() {
        return Err(problem(format!("{} bytes do not fill dimensions {dims:?}", bytes.len())));
    }
    let mut file = vec![0, 0, UNSIGNED_BYTES, rank];
    for &dim in dims {
        let dim = u32::try_from(dim).map_err(|_| problem(format!("{dim} does not fit 32 bits")))?;
        file.extend(dim.to_be_bytes());
    }
    file.extend(bytes);
    Ok(file)
}

fn open_pair(images: &Path, labels: Option<&Path>) -> Result<Dataset, Error> {
    let image_name = images.display().to_string();
    let label_name = labels.map(|it| it.display().to_string());
    let labels = match (labels, &label_name) {
        (Some(path), Some(name)) => Some((name.as_str(), bounded::open_plain_or_gzip(path)?)),
        _ => None,
    };
    assemble(&image_name, bounded::open_plain_or_gzip(images)?, labels)
}

fn assemble<'a>(
    image_name: &str,
    images: Box<dyn Read + 'a>,
    labels: Option<(&str, Box<dyn Read + 'a>)>,
) -> Result<Dataset, Error> {
    let ([_, height, width], pixels) = decode::<3>(images, image_name, MAX_PIXELS)?;
    let shape = [1, height, width];
    let Some((label_name, labels)) = labels else {
        return Dataset::new(image_name, shape, pixels, Labels::None);
    };
    let (_, labels) = decode::<1>(labels, label_name, MAX_LABELS)?;
    let digest = hex(&Sha256::digest(encode(&[labels.len()], &labels)?));
    let images = pixels.len() / (height * width).max(1);
    if images != labels.len() {
        let file = label_name.to_owned();
        return Err(Error::Count { file, images, labels: labels.len() });
    }
    let labels = classes_up_to_largest(labels.into_iter().map(u32::from).collect());
    let dataset = Dataset::new(image_name, shape, pixels, labels)?;
    Ok(if FASHION_MNIST_LABELS.contains(&digest.as_str()) {
        dataset.with_class_names(FASHION_MNIST_CLASSES)
    } else {
        dataset
    })
}

/// Reads dimensions and data of an IDX file of `RANK` dimensions and at most `limit` bytes.
fn decode<const RANK: usize>(
    mut reader: impl Read,
    file: &str,
    limit: u64,
) -> Result<([usize; RANK], Vec<u8>), Error> {
    let mut word = || -> Result<[u8; 4], Error> {
        let mut word = [0; 4];
        match reader.read_exact(&mut word) {
            Ok(()) => Ok(word),
            Err(source) => Err(Error::Unreadable { file: file.to_owned(), source }),
        }
    };
    let magic = word()?;
    let expected = [0, 0, UNSIGNED_BYTES, RANK as u8];
    if magic != expected {
        let problem = format!("begins with {magic:02x?}, where IDX begins with {expected:02x?}");
        return Err(malformed(file, problem));
    }
    let mut dims = [0; RANK];
    let mut size = 1u64;
    for dim in &mut dims {
        let word = u32::from_be_bytes(word()?);
        *dim = word as usize;
        size = size.saturating_mul(u64::from(word));
    }
    if limit < size {
        return Err(Error::TooLarge { file: file.to_owned(), limit });
    }
    let bytes = bounded::read_all(reader, size, file)?;
    if (bytes.len() as u64) < size {
        let found = bytes.len();
        return Err(malformed(file, format!("the header announces {size} bytes, {found} follow")));
    }
    Ok((dims, bytes))
}

/// Path of the labels: `…-images-idx3-…` becomes `…-labels-idx1-…`, with the same ending.
fn labels_next_to(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    (labels != name).then(|| images.with_file_name(labels))
}

fn existing(folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let candidates = [folder.join(name), folder.join(format!("{name}.gz"))];
    let missing = || Error::Io {
        path: folder.join(format!("{name}[.gz]")),
        source: std::io::ErrorKind::NotFound.into(),
    };
    candidates.into_iter().find(|it| it.is_file()).ok_or_else(missing)
}

fn malformed(file: &str, problem: String) -> Error {
    Error::Malformed { file: file.to_owned(), problem, remedy: REMEDY }
}
