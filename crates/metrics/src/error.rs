//! Errors of samples, features and reference files.

use std::path::PathBuf;

/// Error of a metric. Variants name the input at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value is NaN or infinite. No sample is skipped, because that would change the metric.
    #[error("{what}: row {row} is not finite; the network or the sampler that made it diverged")]
    NonFinite {
        /// Name of the array.
        what: &'static str,
        /// Index of the sample, from 0.
        row: usize,
    },
    /// A statistic is undefined for so few samples.
    #[error("{what}: {found} samples, at least {needed} needed; give more samples")]
    TooFew {
        /// Name of the statistic or array.
        what: &'static str,
        /// Smallest number.
        needed: usize,
        /// Number of samples given.
        found: usize,
    },
    /// Two arrays that belong together differ in size.
    #[error("{what}: expected {expected}, found {found}")]
    Size {
        /// Name of the size.
        what: &'static str,
        /// Size that the other input requires.
        expected: usize,
        /// Size found.
        found: usize,
    },
    /// A number of neighbors, subsets or replicates, or a level, is out of range.
    #[error("{what} is {found}, must be {allowed}")]
    Setting {
        /// Name of the setting.
        what: &'static str,
        /// The value.
        found: String,
        /// The range.
        allowed: String,
    },
    /// A class label does not exist in the network's output.
    #[error(
        "label {label} of image {image}: the feature network has classes 0 to {last}; give labels of its classes"
    )]
    Label {
        /// Index of the image, from 0.
        image: usize,
        /// Its label.
        label: u32,
        /// Largest label of the network.
        last: usize,
    },
    /// A matrix is not a covariance.
    #[error("covariance: {reason}")]
    Covariance {
        /// Property that is violated.
        reason: String,
    },
    /// A matrix decomposition did not converge.
    #[error("{what} did not converge; the features may span too many orders of magnitude")]
    NoConvergence {
        /// Name of the decomposition.
        what: &'static str,
    },
    /// Statistics belong to another extractor or data set.
    #[error("{what} differs: expected {expected}, found {found}; make the reference again")]
    Mismatch {
        /// Name of the property that differs.
        what: &'static str,
        /// Value on this side.
        expected: String,
        /// Value on the other side.
        found: String,
    },
    /// A file is truncated, corrupt, or of another kind.
    #[error("{name}: {reason}")]
    File {
        /// The file, or the name of the bytes.
        name: String,
        /// Rule that is broken, with the remedy if it is not obvious.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot access", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Cause reported by the operating system.
        source: std::io::Error,
    },
    /// A feature network or a file of tensors is not usable.
    #[error(transparent)]
    Network(#[from] models::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Makes an [`Error::File`] for `name`.
    pub(crate) fn file(name: &str, reason: impl Into<String>) -> Self {
        Self::File { name: name.to_owned(), reason: reason.into() }
    }

    /// Makes an [`Error::Io`] for `path`, for use with `map_err`.
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Result of a metric.
pub type Result<T, E = Error> = std::result::Result<T, E>;
