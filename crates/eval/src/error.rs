//! Errors of an evaluation.

use std::path::PathBuf;

/// An error of an evaluation.
///
/// Variants name the input at fault. Messages never repeat their source's text: `{err:#}` prints the
/// chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An input does not fit the others.
    #[error("{name}: {reason}")]
    Unusable {
        /// Input at fault.
        name: String,
        /// Reason, and what to do.
        reason: String,
    },
    /// A set has too few images for all metrics.
    #[error("{name}: {found} are too few; use at least {needed}")]
    TooFew {
        /// Set of images, or option with their number.
        name: String,
        /// Number of images.
        found: usize,
        /// Smallest number of images.
        needed: usize,
    },
    /// A set has more images than can be sampled.
    #[error("{name}: {found} are too many; use at most {most}")]
    TooMany {
        /// Option with the number of images.
        name: String,
        /// Number of images.
        found: usize,
        /// Largest number of images.
        most: usize,
    },
    /// The feature network does not accept the images.
    #[error(
        "feature network `{extractor}`: requires images {required:?} (channels, height, width), \
         these are {found:?}; choose a feature network that accepts them"
    )]
    ImageShape {
        /// Name of the feature network.
        extractor: String,
        /// Shape that it requires.
        required: [usize; 3],
        /// Shape of the images.
        found: [usize; 3],
    },
    /// The features of a set of images cannot be computed.
    #[error("features of {set}")]
    Features {
        /// Set of images.
        set: &'static str,
        /// Cause.
        source: Box<Error>,
    },
    /// A file cannot be written.
    #[error("{}: cannot write", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A network or its file is at fault.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// A data set is at fault.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// A metric, a feature network or a file of statistics is at fault.
    #[error(transparent)]
    Metric(#[from] metrics::Error),
    /// A tensor operation failed: a device out of memory, or a bug here.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::Unusable`] about `name`.
    pub(crate) fn unusable(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unusable { name: name.into(), reason: reason.into() }
    }
}

/// Result of an evaluation.
pub type Result<T, E = Error> = std::result::Result<T, E>;
