//! Errors of a network outside tensor operations: in its file, its shapes, its options.

use std::fmt;

/// An error of building, loading or saving a network.
///
/// Variants name the input at fault. A message does not repeat its source's text, so print the chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is not usable; the source says why.
    #[error("{file}: not usable")]
    File {
        /// The file.
        file: String,
        /// Reason.
        source: Box<Error>,
    },
    /// A file cannot be read or written.
    #[error("cannot access the file")]
    Io(#[from] std::io::Error),
    /// Bytes are not in the safetensors format, or are cut short.
    #[error(
        "not a complete safetensors file; fetch or write it again, or make one from a PyTorch file \
         with `uni-instruct convert`"
    )]
    Format(#[from] safetensors::SafeTensorError),
    /// A tensor of a type that no network uses.
    #[error("tensor `{key}` is of type {dtype}: convert it to F32")]
    Dtype {
        /// Name of the tensor.
        key: String,
        /// Its type, as the format names it.
        dtype: String,
    },
    /// An entry of the file's metadata is missing.
    #[error("no metadata `{key}`: this is not a network's file of uni-instruct")]
    NoMetadata {
        /// Name of the entry.
        key: &'static str,
    },
    /// An entry of the file's metadata has another value than expected.
    #[error("metadata `{key}` is `{found}`, expected `{expected}`")]
    Metadata {
        /// Name of the entry.
        key: &'static str,
        /// Expected value.
        expected: String,
        /// Value in the file.
        found: String,
    },
    /// An entry of the file's metadata cannot be parsed.
    #[error("metadata `{key}` cannot be read")]
    Json {
        /// Name of the entry.
        key: &'static str,
        /// Position and reason.
        source: serde_json::Error,
    },
    /// A tensor of the network is missing.
    #[error("no tensor `{key}`, which should be {}", Dims(expected))]
    Missing {
        /// Name of the tensor.
        key: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A tensor that is not part of the network: weights of another architecture.
    #[error("tensor `{key}` {} is no part of this network", Dims(found))]
    Unexpected {
        /// Name of the tensor.
        key: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A tensor has another shape than the network's.
    #[error("tensor `{key}` is {}, expected {}", Dims(found), Dims(expected))]
    Shape {
        /// Name of the tensor.
        key: String,
        /// Shape in the network.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor whose nonempty axes have more elements than there are addresses.
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
        /// Problem, and the allowed values.
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
    /// The same error, with the name of the file.
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
