//! Errors of data sets, which name the file at fault.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Error of reading, writing, fetching or batching images.
///
/// Variants name the file (and the entry of an archive) at fault and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be opened, listed or written.
    #[error("{}: cannot access", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Cause reported by the operating system.
        source: io::Error,
    },
    /// A file's bytes end early or do not decompress.
    #[error("{file}: truncated or corrupt; fetch or build it again")]
    Unreadable {
        /// The file, or the archive and its entry.
        file: String,
        /// Cause reported by the reader.
        source: io::Error,
    },
    /// A format that this build leaves out.
    #[error(
        "{file}: {format}, which this build cannot read or write; build with the feature `{feature}`"
    )]
    Disabled {
        /// The file, or the archive and its entry.
        file: String,
        /// The format, with its article.
        format: &'static str,
        /// Feature of this crate that includes it.
        feature: &'static str,
    },
    /// No supported form of data set is at this path.
    #[error(
        "{}: not a data set; expected an IDX image file, a folder of IDX files, CIFAR-10 (binary \
         batches, their .tar.gz, or PNG sheets), an EDM zip or folder, or a folder of PNG images",
        path.display()
    )]
    Unrecognized {
        /// The path.
        path: PathBuf,
    },
    /// A file breaks the rules of its format.
    #[error("{file}: {problem}; {remedy}")]
    Malformed {
        /// The file, the archive and its entry, or a description of the data to write.
        file: String,
        /// Rule that is broken.
        problem: String,
        /// Remedy.
        remedy: &'static str,
    },
    /// A file or entry exceeds its limit: unpacking it could exhaust memory.
    #[error("{file}: holds more than the {limit} bytes allowed; fetch or build it again")]
    TooLarge {
        /// The file, or the archive and its entry.
        file: String,
        /// Largest size accepted, in bytes.
        limit: u64,
    },
    /// Images and labels do not belong together.
    #[error("{file}: {labels} labels for {images} images; give files of the same data set")]
    Count {
        /// File of the labels.
        file: String,
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// A label names no class.
    #[error("{file}: label {label} of image {index} is outside 0..{classes}; repair the labels")]
    LabelRange {
        /// File of the labels.
        file: String,
        /// Index of the image.
        index: usize,
        /// Its label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// An image differs in shape from the images before it.
    #[error(
        "{file}: an image of {found:?} (channels, height, width) among images of {expected:?}; \
         convert all to one size and color type"
    )]
    Shape {
        /// The file, or the archive and its entry.
        file: String,
        /// Channels, height and width of this image.
        found: [usize; 3],
        /// Channels, height and width of the others.
        expected: [usize; 3],
    },
    /// Images that no network here accepts: they must be square, with 1 or 3 channels.
    #[error(
        "{file}: images of {shape:?} (channels, height, width); crop them to squares of 1 or 3 channels"
    )]
    NotSquare {
        /// The file, or the archive and its entry.
        file: String,
        /// Channels, height and width.
        shape: [usize; 3],
    },
    /// An entry of an archive, or a name in its labels, points outside the archive.
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
    /// A selection without images.
    #[error("no image selected; give at least one index")]
    EmptySelection,
    /// Padding that would exceed the largest data set.
    #[error("a margin of {margin} pixels makes more than {limit} bytes of pixels; pad less")]
    Padding {
        /// Pixels added on each side.
        margin: usize,
        /// Largest size of a data set, in bytes.
        limit: u64,
    },
    /// A data set does not have the requested part.
    #[error("{}: has no part {split:?}; {remedy}", path.display())]
    NoSplit {
        /// The data set.
        path: PathBuf,
        /// Requested part.
        split: String,
        /// Remedy.
        remedy: &'static str,
    },
    /// An index beyond the last image.
    #[error("there is no image {index} in a data set of {len}; give an index below {len}")]
    Index {
        /// Index of the image.
        index: usize,
        /// Number of images.
        len: usize,
    },
    /// A generated image holds NaN.
    #[error("image {image} holds NaN; the network or the sampler that made it diverged")]
    NotANumber {
        /// Index of the image in its batch.
        image: usize,
    },
    /// A file's content differs from the published content.
    #[error("{file}: SHA-256 is {found}, published is {expected}; move it away and fetch it again")]
    Digest {
        /// The file.
        file: String,
        /// Published hash of the uncompressed content.
        expected: &'static str,
        /// Hash of the content found.
        found: String,
    },
    /// An address does not answer.
    #[error("{url}: cannot be fetched")]
    Unreachable {
        /// The address.
        url: String,
        /// Cause reported by the client.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A program that fetches or unpacks packages is missing or failed.
    #[error("{program} failed: {reason}")]
    Client {
        /// The program.
        program: String,
        /// Its last message, or the cause if it did not start.
        reason: String,
    },
    /// A name that cannot be fetched.
    #[error("{name:?} cannot be fetched; give one of {}", known.join(", "))]
    UnknownName {
        /// The name.
        name: String,
        /// Names that can be fetched.
        known: Vec<&'static str>,
    },
    /// Every source of a published data set failed.
    #[error("cannot fetch {name}: {}", tried.iter().map(Attempt::to_string).collect::<Vec<_>>().join("; "))]
    Fetch {
        /// The data set.
        name: &'static str,
        /// Each source, and the reason of its failure.
        tried: Vec<Attempt>,
    },
    /// A tensor operation failed: shapes that do not fit, or a device out of memory.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// A source of a published data set that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Address, folder or package.
    pub source: String,
    /// Reason of the failure.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.source, self.reason)
    }
}
