//! What can go wrong with samples, features and reference files.

use std::path::PathBuf;

/// An error of a measurement. Variants name the input at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value is NaN or infinite. Nothing is skipped: a figure without some of its samples is
    /// another figure.
    #[error("{what}: row {row} is not finite; the network or the sampler that made it diverged")]
    NonFinite {
        /// Which array.
        what: &'static str,
        /// Which sample, counted from 0.
        row: usize,
    },
    /// A statistic is undefined for so few samples.
    #[error("{what}: {found} samples, at least {needed} needed")]
    TooFew {
        /// Which statistic or array.
        what: &'static str,
        /// The least number.
        needed: usize,
        /// The number at hand.
        found: usize,
    },
    /// Two arrays that belong together differ in size.
    #[error("{what}: expected {expected}, found {found}")]
    Size {
        /// Which size.
        what: &'static str,
        /// What the other input asks for.
        expected: usize,
        /// What was found.
        found: usize,
    },
    /// A number of neighbors, subsets or replicates, or a level, is out of its range.
    #[error("{what} is {found}, allowed is {allowed}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// The value.
        found: String,
        /// The range.
        allowed: String,
    },
    /// A class label does not exist in the network's output.
    #[error("label {label} of image {image}: the feature network knows classes 0 to {last}")]
    Label {
        /// Which image, counted from 0.
        image: usize,
        /// Its label.
        label: u32,
        /// The largest label of the network.
        last: usize,
    },
    /// A matrix that should be a covariance is none.
    #[error("covariance: {reason}")]
    Covariance {
        /// What is wrong with it.
        reason: String,
    },
    /// A matrix decomposition did not converge.
    #[error("{what} did not converge; the features may span too many orders of magnitude")]
    NoConvergence {
        /// Which decomposition.
        what: &'static str,
    },
    /// Statistics of another extractor or data set than the one at hand.
    #[error("{what} differs: expected {expected}, found {found}; make the reference anew")]
    Foreign {
        /// What differs.
        what: &'static str,
        /// This side's value.
        expected: String,
        /// The other side's value.
        found: String,
    },
    /// A file is truncated, corrupt, or of another kind.
    #[error("{name}: {reason}")]
    File {
        /// The file, or the name of the bytes.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot access", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
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
    /// An [`Error::File`] about `name`.
    pub(crate) fn file(name: &str, reason: impl Into<String>) -> Self {
        Self::File { name: name.to_owned(), reason: reason.into() }
    }

    /// An [`Error::Io`] about `path`, for `map_err`.
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// The result of a measurement.
pub type Result<T, E = Error> = std::result::Result<T, E>;
