//! Errors of training runs.

use std::path::PathBuf;

/// An error of a training run.
///
/// Variants name the input at fault, not the layer that noticed. Messages are lower-case and never
/// repeat their source's text: `{err:#}` prints the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration is invalid; the source shows the line.
    #[error("{name}: not a configuration")]
    Config {
        /// Name of the file.
        name: String,
        /// Fault and line.
        source: Box<toml::de::Error>,
    },
    /// A configuration or an input cannot be used.
    #[error("{name}: {reason}")]
    Unusable {
        /// The configuration, key or input at fault.
        name: String,
        /// Reason and remedy.
        reason: String,
    },
    /// A method is invalid.
    #[error("phase {phase}: not a usable method")]
    Method {
        /// Number of the phase, counted from one.
        phase: usize,
        /// Fault of the method.
        source: divergence::Error,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The failed action.
        action: &'static str,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file is damaged, or not a checkpoint of this program.
    #[error("{}: not a usable checkpoint: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Fault and remedy.
        reason: String,
    },
    /// A checkpoint belongs to another configuration than the run that resumes from it.
    #[error(
        "{}: written with configuration {found}, this run has {expected}; give another --out, \
         or the configuration of the checkpoint", path.display()
    )]
    ForeignCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Hash of this run's configuration.
        expected: String,
        /// Hash stored in the checkpoint.
        found: String,
    },
    /// Losses or gradients were non-finite too often. The state before the failing steps is intact.
    #[error(
        "after {images} images: {what} was not finite {times} updates in a row; lower the learning \
         rate and resume from the last checkpoint"
    )]
    NonFinite {
        /// Progress of the run.
        images: u64,
        /// Name of the quantity.
        what: &'static str,
        /// Number of consecutive updates.
        times: u32,
    },
    /// A state is not finite, so no checkpoint is written.
    #[error("no checkpoint was written: `{tensor}` is not finite; resume from an earlier one")]
    NonFiniteState {
        /// Name of the tensor.
        tensor: String,
    },
    /// A network or its file is invalid.
    #[error("network")]
    Model(#[from] models::Error),
    /// A data set is invalid.
    #[error("data set")]
    Data(#[from] data::Error),
    /// A statistic cannot be computed.
    #[error("metric")]
    Metric(#[from] metrics::Error),
    /// A tensor operation failed, because of a bug or because the device ran out of memory.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::Unusable`] about `name`.
    pub fn unusable(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Unusable { name: name.into(), reason: reason.into() }
    }

    /// An [`Error::Io`] about `path`, for `map_err`.
    pub fn io(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }
}
