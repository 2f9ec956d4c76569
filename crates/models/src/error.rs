//! What can go wrong with a network outside a tensor operation: its file, its shape, its options.

use std::fmt;

/// An error of building, loading or saving a network.
///
/// Variants name the input at fault. Messages never repeat their source's text: print the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file does not hold what was asked of it; the source says what is wrong.
    #[error("{file}: not usable")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A file cannot be read or written.
    #[error("cannot access the file")]
    Io(#[from] std::io::Error),
    /// Bytes are not in the safetensors format, or are cut short.
    #[error("not a complete safetensors file")]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor of a kind that no network holds.
    #[error("tensor `{key}` is of type {dtype}: convert it to F32")]
    Dtype {
        /// Name of the tensor.
        key: String,
        /// Its type, in the format's words.
        dtype: String,
    },
    /// An entry of the file's metadata is missing.
    #[error("no metadata `{key}`: this is not a network's file of uni-instruct")]
    NoMetadata {
        /// Name of the entry.
        key: &'static str,
    },
    /// The file's metadata is that of something else, or of another version.
    #[error("metadata `{key}` is `{found}`, expected `{expected}`")]
    Metadata {
        /// Name of the entry.
        key: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// An entry of the file's metadata is not what its name promises.
    #[error("metadata `{key}` cannot be read")]
    Json {
        /// Name of the entry.
        key: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A tensor that the network needs is not there.
    #[error("no tensor `{key}`, which should be {}", Dims(expected))]
    Missing {
        /// Name of the tensor.
        key: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor that the network has no use for: weights of another architecture.
    #[error("tensor `{key}` {} is no part of this network", Dims(found))]
    Unexpected {
        /// Name of the tensor.
        key: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor is of another shape than the network's.
    #[error("tensor `{key}` is {}, expected {}", Dims(found), Dims(expected))]
    Shape {
        /// Name of the tensor.
        key: String,
        /// The shape that the network has.
        expected: Vec<usize>,
        /// The shape that was found.
        found: Vec<usize>,
    },
    /// A tensor whose axes, empty ones apart, make more numbers than there are addresses.
    #[error("tensor `{key}` {} is beyond memory: fetch the file again", Dims(found))]
    TooLarge {
        /// Name of the tensor.
        key: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A weight is NaN or infinite: the run that wrote it had diverged.
    #[error("tensor `{key}` holds a NaN or an infinity: use an earlier checkpoint")]
    NonFinite {
        /// Name of the tensor.
        key: String,
    },
    /// A constant of the architecture differs from the one that the configuration implies.
    #[error("constant `{key}` differs from what the configuration implies")]
    Constant {
        /// Name of the tensor.
        key: String,
    },
    /// An option of a network that cannot be built.
    #[error("network option `{option}`: {reason}")]
    Option {
        /// Path of the option.
        option: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A file of another program cannot be read.
    #[error("not a file of weights that can be read")]
    Pickle(#[from] pickle::PickleError),
    /// A tensor operation failed: a device out of memory, or a bug here.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same error, told of a file.
    pub fn in_file(self, file: impl fmt::Display) -> Self {
        Self::File { file: file.to_string(), source: Box::new(self) }
    }
}

/// A shape, as people write it.
struct Dims<'a>(&'a [usize]);

impl fmt::Display for Dims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
