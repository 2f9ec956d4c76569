//! What can be wrong with a pickle, told with the file, the byte and what to do.

use std::io;

/// Longest piece of a file's own text that a message repeats.
const MAX_QUOTE: usize = 120;

/// An error of reading or writing a pickle.
///
/// Messages never repeat their source's text: print the chain. Offsets count from the start of
/// what `file` names: a file, or an entry of a zip file (`model.pt: archive/data.pkl`).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The file cannot be read or written.
    #[error("{file}: cannot access the file")]
    Io {
        /// The file.
        file: String,
        /// Why not.
        source: io::Error,
    },
    /// The file's content is of no kind that is read here.
    #[error("{file}: byte 0: {found}: give a pickle or PyTorch file (.pkl, .pt, .pth)")]
    Kind {
        /// The file.
        file: String,
        /// What it looks like.
        found: String,
    },
    /// The file ends inside something.
    #[error("{file}: byte {at}: cut short inside {what}: fetch the file again")]
    Truncated {
        /// The file.
        file: String,
        /// Where what is cut short starts.
        at: usize,
        /// What is cut short.
        what: String,
    },
    /// An opcode that no network's file needs.
    #[error("{file}: byte {at}: opcode {opcode} is refused: do not open this file with Python")]
    Opcode {
        /// The file.
        file: String,
        /// Where it stands.
        at: usize,
        /// Its name, or its byte if it has none.
        opcode: String,
    },
    /// A name that is not on the list of harmless ones; it was neither imported nor called.
    #[error("{file}: byte {at}: global `{global}` is refused: do not open this file with Python")]
    Global {
        /// The file.
        file: String,
        /// Where it is named.
        at: usize,
        /// Module and name.
        global: String,
    },
    /// Something that Python would read and this reader does not.
    #[error(
        "{file}: byte {at}: {what} is not read here: save the weights again as float32 with torch.save"
    )]
    Unsupported {
        /// The file.
        file: String,
        /// Where it stands.
        at: usize,
        /// What it is.
        what: String,
    },
    /// The bytes make no sense.
    #[error("{file}: byte {at}: {reason}: the file is damaged or hostile, fetch it again")]
    Malformed {
        /// The file.
        file: String,
        /// Where.
        at: usize,
        /// What is wrong.
        reason: String,
    },
    /// The file asks for more than its reader gives.
    #[error("{file}: byte {at}: more than {limit} {what}: if you trust the file, raise the limit")]
    Limit {
        /// The file.
        file: String,
        /// Where the limit was passed.
        at: usize,
        /// What there is too much of.
        what: &'static str,
        /// The most that is allowed.
        limit: u64,
    },
    /// A zip file's directory cannot be read.
    #[error("{file}: no whole zip file: fetch it again")]
    Zip {
        /// The file.
        file: String,
        /// Why not.
        source: zip::result::ZipError,
    },
    /// An entry of a zip file cannot be used.
    #[error("{file}: byte {at}: entry `{entry}`: {reason}")]
    Entry {
        /// The file.
        file: String,
        /// Where the entry starts.
        at: usize,
        /// Name of the entry.
        entry: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Numbers are stored with their highest byte first.
    #[error("{file}: byte {at}: big-endian numbers: save it again on a little-endian machine")]
    BigEndian {
        /// The file.
        file: String,
        /// Where the file says so.
        at: usize,
    },
    /// A tensor cannot be used.
    #[error("{file}: byte {at}: tensor `{tensor}`: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// Where the tensor is described.
        at: usize,
        /// Its name.
        tensor: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A whole file that does not hold what was asked of it.
    #[error("{file}: {reason}")]
    Content {
        /// The file.
        file: String,
        /// What is missing or ambiguous, and what to do.
        reason: String,
    },
    /// A value that the writer has no form for.
    #[error("cannot write {what}")]
    Unwritable {
        /// What it is, and what can be written.
        what: String,
    },
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, PickleError>;

/// A piece of a file's own text, short and printable enough for a message.
pub(super) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(MAX_QUOTE).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTE).is_some() {
        quoted.push('…');
    }
    quoted
}

/// An error of bytes that make no sense.
pub(super) fn malformed(file: &str, at: usize, reason: impl Into<String>) -> PickleError {
    PickleError::Malformed { file: file.to_owned(), at, reason: reason.into() }
}

/// An error of a file that does not hold what was asked of it.
pub(super) fn content(file: &str, reason: impl Into<String>) -> PickleError {
    PickleError::Content { file: file.to_owned(), reason: reason.into() }
}
