//! What can go wrong in a run.

use std::path::PathBuf;

/// An error of a training run.
///
/// Variants name the input at fault, not the layer that noticed. Messages are lower-case and never
/// repeat their source's text: `{err:#}` prints the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration is not valid; the source shows the line.
    #[error("{name}: not a configuration")]
    Config {
        /// The file, or where the text came from.
        name: String,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// A configuration asks for what cannot be done.
    #[error("{name}: {reason}")]
    Unusable {
        /// The configuration, key or input at fault.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A method is not valid.
    #[error("phase {phase}: not a usable method")]
    Method {
        /// Which phase, counted from one.
        phase: usize,
        /// What is wrong with it.
        source: divergence::Error,
    },
    /// A file cannot be read or written.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not a checkpoint of ours, or a damaged one.
    #[error("{}: not a usable checkpoint: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A checkpoint belongs to another configuration than the run that would resume from it.
    #[error(
        "{}: written under configuration {found}, this run has {expected}; give another --out, \
         or the configuration it was written under", path.display()
    )]
    ForeignCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Hash of this run's configuration.
        expected: String,
        /// Hash stored in the checkpoint.
        found: String,
    },
    /// Losses or gradients kept being non-finite. The state before the failing steps is untouched.
    #[error("after {images} images: {what} was not finite {times} updates in a row")]
    NonFinite {
        /// Progress of the run.
        images: u64,
        /// Which quantity.
        what: &'static str,
        /// How often.
        times: u32,
    },
    /// A state holds numbers that are not finite, so it is not kept; earlier checkpoints stand.
    #[error("no checkpoint was written: `{tensor}` is not finite; earlier ones stand")]
    NonFiniteState {
        /// Which of its tensors.
        tensor: String,
    },
    /// A network or its file is at fault.
    #[error("network")]
    Model(#[from] models::Error),
    /// A data set is at fault.
    #[error("data set")]
    Data(#[from] data::Error),
    /// A statistic cannot be computed.
    #[error("metric")]
    Metric(#[from] metrics::Error),
    /// A tensor operation failed: a bug here, or a device out of memory.
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
