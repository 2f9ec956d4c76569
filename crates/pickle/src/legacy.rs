//! Files of `torch.save` before PyTorch 1.6. Storages inside EDM's pickles have the same format.
//!
//! A file starts with five pickles: a magic number, the version of the protocol, properties of the
//! machine, the object, and the list of its storages' keys. The storages follow in the order of
//! that list, each as an `i64` count of elements and the elements.

use std::collections::BTreeMap;
use std::ops::Range;

use super::cursor::Cursor;
use super::error::{PickleError, Result, malformed, quote};
use super::limits::Limits;
use super::machine::{Document, parse};
use super::opcode::{LONG1, PROTO};
use super::storage::StorageId;
use super::value::Node;
use super::walk::Walk;

/// Value of the first pickle.
pub(super) const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// Length of the magic number in a pickle, in bytes.
const MAGIC_BYTES: u8 = 10;

/// Value of the second pickle.
pub(super) const PROTOCOL: i64 = 1001;

/// The object of a file, and the positions of its storages.
pub(super) struct Legacy<'a> {
    pub(super) document: Document<'a>,
    /// Positions in the file by key.
    pub(super) storages: BTreeMap<String, Range<usize>>,
}

/// True if the file starts with the magic number, in protocol 2 or newer.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    let magic = &MAGIC.to_le_bytes()[..usize::from(MAGIC_BYTES)];
    match bytes {
        [PROTO, _, LONG1, MAGIC_BYTES, rest @ ..] => rest.starts_with(magic),
        _ => false,
    }
}

/// Reads a legacy file from `part` of the bytes.
pub(super) fn read<'a>(
    file: &'a str,
    bytes: &'a [u8],
    part: Range<usize>,
    limits: &'a Limits,
) -> Result<Legacy<'a>> {
    let mut at = part.start;
    let mut next = || {
        let document = parse(file, bytes, at..part.end, limits)?;
        at = document.end;
        Ok(document)
    };
    let first = |document: &Document<'a>| document.arena.node(document.root).clone();

    let start = part.start;
    if first(&next()?) != Node::Long(Box::new(MAGIC)) {
        return Err(malformed(file, start, "PyTorch's magic number is missing"));
    }
    let version = next()?;
    if first(&version) != Node::Int(PROTOCOL) {
        return Err(malformed(file, version.arena.offset(version.root), "the version is not 1001"));
    }
    check_machine(&Walk::new(file, &next()?, bytes, limits))?;
    let document = next()?;
    let keys = next()?;

    let mut expected = BTreeMap::new();
    let walk = Walk::new(file, &document, bytes, limits);
    for (id, node) in document.arena.iter() {
        if matches!(node, Node::Persistent(_)) && document.arena.name(id).is_none() {
            let storage = StorageId::of(&walk, id)?;
            let first = expected.entry(storage.key).or_insert((storage.bytes, storage.dtype, id));
            if first.0 != storage.bytes {
                return Err(walk.malformed(id, "two lengths for the same storage"));
            }
        }
    }

    let walk = Walk::new(file, &keys, bytes, limits);
    let list = walk.sequence(keys.root);
    let list = list.ok_or_else(|| walk.malformed(keys.root, "the list of storages is missing"))?;
    let mut cursor = Cursor::new(file, bytes, keys.end..part.end);
    let mut storages = BTreeMap::new();
    for &key in list {
        let found = walk.text(key).and_then(|text| Some((text, expected.get(text)?)));
        let Some((key, &(length, dtype, _))) = found else {
            return Err(walk.malformed(key, "a storage that the object does not reference"));
        };
        let start = cursor.at();
        let count = i64::from_le_bytes(cursor.array("a storage's length")?);
        let counted = usize::try_from(count).ok();
        let counted = counted.and_then(|it| it.checked_mul(dtype.map_or(1, |it| it.bytes())));
        if counted != Some(length) {
            let reason =
                format!("storage of {count} elements, but the object states {length} bytes");
            return Err(malformed(file, start, reason));
        }
        let place = cursor.span(length as u64, "a storage")?;
        storages.insert(key.to_owned(), place);
    }
    Ok(Legacy { document, storages })
}

/// Checks that the file is little-endian.
fn check_machine(walk: &Walk<'_>) -> Result<()> {
    let root = walk.document.root;
    let little = walk.require(root, "little_endian")?;
    match walk.node(little) {
        Node::Bool(true) => Ok(()),
        Node::Bool(false) => {
            Err(PickleError::BigEndian { file: walk.file.to_owned(), at: walk.at(little) })
        }
        _ => Err(walk.malformed(little, "the entry `little_endian` is not a boolean")),
    }
}

/// The position of a storage in the file.
pub(super) fn place(
    storages: &BTreeMap<String, Range<usize>>,
    storage: &StorageId<'_>,
) -> std::result::Result<Range<usize>, String> {
    let missing =
        || format!("storage `{}` is not in the file; fetch the file again", quote(storage.key));
    storages.get(storage.key).cloned().ok_or_else(missing)
}
