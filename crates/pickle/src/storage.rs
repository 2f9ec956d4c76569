//! Storages: the bytes behind tensors.

use std::fmt;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use zip::ZipArchive;

use super::dtype::Dtype;
use super::error::{PickleError, Result, quote};
use super::file::FileBytes;
use super::value::{Id, Node};
use super::walk::Walk;

/// Longest key of a storage; PyTorch's are numbers of at most 20 digits.
const MAX_KEY: usize = 64;

/// Bytes that one or more tensors are views of.
///
/// The bytes are not copied from the file. A compressed entry of a zip file is inflated on first
/// use and then kept.
pub struct Storage {
    file: FileBytes,
    bytes: usize,
    place: Place,
}

enum Place {
    Slice(Range<usize>),
    Deflated { archive: ZipArchive<Cursor<FileBytes>>, index: usize, inflated: OnceLock<Vec<u8>> },
}

impl Storage {
    /// A part of the file, which must be within its bounds.
    pub(super) fn slice(file: &FileBytes, part: Range<usize>) -> Arc<Self> {
        let file = file.clone();
        Arc::new(Self { file, bytes: part.len(), place: Place::Slice(part) })
    }

    /// An entry of an archive, `bytes` long when inflated.
    pub(super) fn deflated(
        file: &FileBytes,
        archive: ZipArchive<Cursor<FileBytes>>,
        index: usize,
        bytes: usize,
    ) -> Arc<Self> {
        let place = Place::Deflated { archive, index, inflated: OnceLock::new() };
        Arc::new(Self { file: file.clone(), bytes, place })
    }

    /// Name of the file in errors.
    pub(super) fn file(&self) -> &str {
        self.file.name()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// True if the storage has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Position in the file, unless compressed.
    pub fn range(&self) -> Option<Range<usize>> {
        if let Place::Slice(part) = &self.place { Some(part.clone()) } else { None }
    }

    /// The bytes.
    ///
    /// # Errors
    ///
    /// If the entry is compressed, and damaged or of another length than the archive states.
    pub fn content(&self) -> Result<&[u8]> {
        match &self.place {
            Place::Slice(part) => Ok(&self.file.bytes()[part.clone()]),
            Place::Deflated { archive, index, inflated } => {
                if let Some(bytes) = inflated.get() {
                    return Ok(bytes);
                }
                let bytes = inflate(&self.file, archive.clone(), *index, self.bytes)?;
                Ok(inflated.get_or_init(|| bytes))
            }
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Slice(part) => write!(f, "bytes {part:?} of {}", self.file.name()),
            Place::Deflated { index, .. } => {
                write!(f, "{} bytes, deflated in entry {index} of {}", self.bytes, self.file.name())
            }
        }
    }
}

/// Inflates an entry, which must have `expected` bytes; no more are allocated.
pub(super) fn inflate(
    file: &FileBytes,
    mut archive: ZipArchive<Cursor<FileBytes>>,
    index: usize,
    expected: usize,
) -> Result<Vec<u8>> {
    let broken = |source| PickleError::Zip { file: file.name().to_owned(), source };
    let entry = archive.by_index(index).map_err(broken)?;
    let (name, at) = (entry.name().map_err(broken)?.into_owned(), entry.header_start() as usize);
    let mut bytes = Vec::new();
    let read = entry.take(expected as u64 + 1).read_to_end(&mut bytes);
    let reason = match read {
        Err(error) => format!("damaged ({error}); fetch the file again"),
        Ok(_) if bytes.len() == expected => return Ok(bytes),
        Ok(_) => format!("not {expected} bytes as stated; fetch the file again"),
    };
    Err(PickleError::Entry { file: file.name().to_owned(), at, entry: name, reason })
}

/// Reference of a pickle to a storage outside it:
/// `('storage', torch.FloatStorage, key, device, numel[, view])`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StorageId<'w> {
    pub(super) key: &'w str,
    /// Element type; `None` for an untyped storage.
    pub(super) dtype: Option<Dtype>,
    pub(super) bytes: usize,
}

impl<'w> StorageId<'w> {
    /// Reads the reference.
    pub(super) fn of(walk: &Walk<'w>, id: Id) -> Result<Self> {
        let broken = |reason: &str| Err(walk.malformed(id, format!("a storage {reason}")));
        let Node::Persistent(tuple) = walk.node(id) else {
            return broken(&format!("that is {}", walk.describe(id)));
        };
        let Some(&[kind, class, key, _device, numel, ref view @ ..]) = walk.sequence(*tuple) else {
            return broken("whose reference is not a tuple of five");
        };
        if walk.text(kind) != Some("storage") {
            return broken("whose reference is not marked as one");
        }
        if view.iter().any(|&it| *walk.node(it) != Node::None) {
            return Err(walk.unsupported(id, "a storage that is a view of another"));
        }
        let (Some(key), Some(numel)) = (walk.text(key), walk.size(numel)) else {
            return broken("without a key or a length");
        };
        // Keys are compared for every tensor.
        if MAX_KEY < key.len() {
            return broken("whose key is longer than any of PyTorch's");
        }
        let Some((module, class)) = walk.global(class) else {
            return broken("whose class is not a name");
        };
        let dtype = match (module, class) {
            ("torch.storage", "UntypedStorage" | "_UntypedStorage") => None,
            ("torch", class) => match Dtype::ALL.iter().find(|it| it.storage_class() == class) {
                Some(&dtype) => Some(dtype),
                None => return Err(walk.unsupported(id, format!("a {}", quote(class)))),
            },
            _ => return broken("whose class is not a storage"),
        };
        match numel.checked_mul(dtype.map_or(1, Dtype::bytes)) {
            Some(bytes) => Ok(Self { key, dtype, bytes }),
            None => broken("larger than the address space"),
        }
    }
}
