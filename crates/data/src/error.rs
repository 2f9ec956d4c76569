//! What can be wrong with a data set, in terms of the file that is at fault.

use std::io;
use std::path::PathBuf;

use crate::fetch::Attempt;

/// An error of reading, writing, fetching or batching images.
///
/// Variants name the file (and the entry of an archive) at fault and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be opened, listed or written.
    #[error("{}: cannot access", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file's bytes end early or do not decompress.
    #[error("{file}: truncated or corrupt; fetch or build it again")]
    Unreadable {
        /// The file, or the archive and its entry.
        file: String,
        /// What the reader met.
        source: io::Error,
    },
    /// No known form of data set is at this path.
    #[error(
        "{}: not a data set; expected an IDX image file, a folder of IDX files, CIFAR-10 (binary \
         batches, their .tar.gz, or PNG sheets), an EDM zip or folder, or a folder of PNG images",
        path.display()
    )]
    Unrecognized {
        /// The path.
        path: PathBuf,
    },
    /// A file breaks the rules of its own format.
    #[error("{file}: {problem}; {remedy}")]
    Malformed {
        /// The file, or the archive and its entry.
        file: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file or entry is larger than it may be: unpacking it could exhaust memory.
    #[error("{file}: holds more than the {limit} bytes that it may; refused")]
    TooLarge {
        /// The file, or the archive and its entry.
        file: String,
        /// The largest size accepted, in bytes.
        limit: u64,
    },
    /// Images and labels do not belong together.
    #[error("{file}: {labels} labels for {images} images; the two files must be of one data set")]
    Count {
        /// Where the labels come from.
        file: String,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A label names no class.
    #[error("{file}: label {label} of image {index} is outside 0..{classes}; repair the labels")]
    LabelRange {
        /// Where the labels come from.
        file: String,
        /// Which image.
        index: usize,
        /// Its label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// An image has another shape than the images before it.
    #[error(
        "{file}: an image of {found:?} (channels, height, width) among images of {expected:?}; \
         bring all to one size and colour type"
    )]
    Shape {
        /// The file, or the archive and its entry.
        file: String,
        /// Channels, height and width of this image.
        found: [usize; 3],
        /// Channels, height and width of the others.
        expected: [usize; 3],
    },
    /// Images that no network here takes: they must be square, with 1 or 3 channels.
    #[error(
        "{file}: images of {shape:?} (channels, height, width); crop them to squares of 1 or 3 channels"
    )]
    NotSquare {
        /// The file, or the archive and its entry.
        file: String,
        /// Channels, height and width.
        shape: [usize; 3],
    },
    /// An entry of an archive, or a name in its labels, points outside of it.
    #[error(
        "{archive}: the name {name:?} is absolute or climbs out of the archive; build it again"
    )]
    UnsafeName {
        /// The archive.
        archive: String,
        /// The name.
        name: String,
    },
    /// A data set without images.
    #[error("{file}: no images; give a data set that holds at least one")]
    Empty {
        /// The file or folder.
        file: String,
    },
    /// A part of a data set was asked for that it does not have.
    #[error("{}: has no part {split:?}; {known}", path.display())]
    NoSplit {
        /// The data set.
        path: PathBuf,
        /// The part asked for.
        split: String,
        /// Which parts there are.
        known: &'static str,
    },
    /// An image was asked for beyond the end.
    #[error("image {index} of a data set of {len}")]
    Index {
        /// Which image.
        index: usize,
        /// Number of images.
        len: usize,
    },
    /// A file's content is not the published one.
    #[error("{file}: SHA-256 is {found}, published is {expected}; move it away and fetch it again")]
    Digest {
        /// The file.
        file: String,
        /// The published hash of the uncompressed content.
        expected: &'static str,
        /// The hash of what was found.
        found: String,
    },
    /// An address cannot be fetched from.
    #[error("{url}: cannot be fetched")]
    Unreachable {
        /// The address.
        url: String,
        /// Why not.
        source: Box<ureq::Error>,
    },
    /// A program that fetches or unpacks packages is missing or failed.
    #[error("{program} failed: {reason}")]
    Client {
        /// The program.
        program: String,
        /// Its last message, or why it did not start.
        reason: String,
    },
    /// A data set that cannot be fetched by name.
    #[error("unknown data set {name:?}; known are fashion-mnist and cifar10")]
    UnknownName {
        /// The name.
        name: String,
    },
    /// Every source of a published data set failed.
    #[error("cannot fetch {name}: {}", tried.iter().map(Attempt::to_string).collect::<Vec<_>>().join("; "))]
    Fetch {
        /// The data set.
        name: &'static str,
        /// Each source, and why it failed.
        tried: Vec<Attempt>,
    },
    /// A tensor operation failed: shapes that do not fit, or a device out of memory.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}
