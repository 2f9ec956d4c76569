//! Errors of reading and writing, with the file, the byte and the remedy.

use std::io;

/// Longest piece of a file's own text that a message repeats.
const MAX_QUOTE: usize = 120;

/// An error of reading or writing a pickle.
///
/// Messages do not repeat their source's text: print the chain. Offsets count from the start of
/// `file`, which is a file or an entry of a zip file (`model.pt: archive/data.pkl`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The file cannot be read or written.
    #[error("{file}: cannot access the file")]
    Io {
        /// The file.
        file: String,
        /// Cause.
        source: io::Error,
    },
    /// The file is of an unknown or unsupported kind.
    #[error("{file}: byte 0: {found}; give a pickle or PyTorch file (.pkl, .pt, .pth)")]
    Kind {
        /// The file.
        file: String,
        /// Kind that the content resembles.
        found: String,
    },
    /// The file ends inside a value.
    #[error("{file}: byte {at}: cut short inside {what}; fetch the file again")]
    Truncated {
        /// The file.
        file: String,
        /// Start of the value.
        at: usize,
        /// Description of the value.
        what: String,
    },
    /// An opcode that no network's file needs.
    #[error("{file}: byte {at}: opcode {opcode} is refused; do not open this file with Python")]
    Opcode {
        /// The file.
        file: String,
        /// Position of the opcode.
        at: usize,
        /// Its name, or the byte if it has no name.
        opcode: String,
    },
    /// A name that is not on the list of harmless names. It was neither imported nor called.
    #[error("{file}: byte {at}: global `{global}` is refused; do not open this file with Python")]
    Global {
        /// The file.
        file: String,
        /// Position of the name.
        at: usize,
        /// Module and name.
        global: String,
    },
    /// A value that Python reads and this reader does not.
    #[error(
        "{file}: byte {at}: {what} is not supported; save the weights again as float32 with torch.save"
    )]
    Unsupported {
        /// The file.
        file: String,
        /// Position of the value.
        at: usize,
        /// Description of the value.
        what: String,
    },
    /// The bytes are not a valid pickle, or not one that PyTorch writes.
    #[error("{file}: byte {at}: {reason}; the file is damaged or hostile, fetch it again")]
    Malformed {
        /// The file.
        file: String,
        /// Position of the fault.
        at: usize,
        /// Description of the fault.
        reason: String,
    },
    /// The file exceeds one of the [`Limits`](crate::Limits).
    #[error("{file}: byte {at}: more than {limit} {what}; if you trust the file, raise the limit")]
    Limit {
        /// The file.
        file: String,
        /// Position at which the limit was exceeded.
        at: usize,
        /// Counted unit.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The directory of a zip file cannot be read.
    #[error("{file}: not a complete zip file; fetch it again")]
    Zip {
        /// The file.
        file: String,
        /// Cause.
        source: zip::result::ZipError,
    },
    /// An entry of a zip file cannot be used.
    #[error("{file}: byte {at}: entry `{entry}`: {reason}")]
    Entry {
        /// The file.
        file: String,
        /// Start of the entry.
        at: usize,
        /// Name of the entry.
        entry: String,
        /// Description of the fault and the remedy.
        reason: String,
    },
    /// Values are stored with their highest byte first.
    #[error("{file}: byte {at}: big-endian values; save it again on a little-endian machine")]
    BigEndian {
        /// The file.
        file: String,
        /// Position at which the file states its byte order.
        at: usize,
    },
    /// A tensor cannot be used.
    #[error("{file}: byte {at}: tensor `{tensor}`: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// Position of the tensor's description.
        at: usize,
        /// Its name.
        tensor: String,
        /// Description of the fault and the remedy.
        reason: String,
    },
    /// A valid file lacks the requested content, or several parts of the file match.
    #[error("{file}: {reason}")]
    Content {
        /// The file.
        file: String,
        /// Missing or ambiguous part, and the remedy.
        reason: String,
    },
    /// A value that the writer cannot represent.
    #[error("cannot write {what}")]
    Unwritable {
        /// Description of the value.
        what: String,
    },
}

/// A result with a [`PickleError`].
pub type Result<T> = std::result::Result<T, PickleError>;

/// A piece of a file's own text, short and printable enough for a message.
pub(super) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(MAX_QUOTE).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTE).is_some() {
        quoted.push('…');
    }
    quoted
}

/// The error of invalid bytes.
pub(super) fn malformed(file: &str, at: usize, reason: impl Into<String>) -> PickleError {
    PickleError::Malformed { file: file.to_owned(), at, reason: reason.into() }
}

/// The error of missing or ambiguous content.
pub(super) fn content(file: &str, reason: impl Into<String>) -> PickleError {
    PickleError::Content { file: file.to_owned(), reason: reason.into() }
}
