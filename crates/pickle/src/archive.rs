//! The zip files of `torch.save` since PyTorch 1.6, and of TorchScript.
//!
//! All entries are in one folder: the object is `data.pkl`, its storages are `data/0`, `data/1`, …,
//! and `byteorder` contains `little` or `big`. PyTorch stores entries uncompressed, so a storage is
//! a part of the file. A compressed storage is inflated on first use.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::error::{PickleError, Result, content, quote};
use super::file::FileBytes;
use super::limits::Limits;
use super::storage::{Storage, StorageId, inflate};

/// Entry of the object.
const OBJECT: &str = "data.pkl";

/// A zip file whose directory has been checked.
pub(super) struct Archive {
    file: FileBytes,
    zip: ZipArchive<Cursor<FileBytes>>,
    entries: BTreeMap<String, Entry>,
    /// The folder of all entries, with its slash.
    prefix: String,
}

struct Entry {
    index: usize,
    at: usize,
    size: usize,
    /// Position in the file, unless compressed.
    stored: Option<Range<usize>>,
}

/// A storage of a TorchScript file, `data/N`.
#[derive(Clone, Debug)]
pub struct NumberedStorage {
    /// `N`.
    pub number: usize,
    /// Name of the entry.
    pub entry: String,
    /// The bytes. Their meaning depends on the code in the file.
    pub storage: Arc<Storage>,
}

impl Archive {
    /// Reads the directory of a zip file.
    pub(super) fn open(file: &FileBytes, limits: &Limits) -> Result<Self> {
        let broken = |source| PickleError::Zip { file: file.name().to_owned(), source };
        let mut zip = ZipArchive::new(Cursor::new(file.clone())).map_err(broken)?;
        // The zip reader keeps one entry per name, so the content would depend on the reader.
        if zip.has_duplicate_names() {
            return Err(content(
                file.name(),
                "two entries have the same name; do not use this file",
            ));
        }
        let mut entries = BTreeMap::new();
        let (mut inflated, mut stored_bytes) = (0u64, 0usize);
        for index in 0..zip.len() {
            let raw = zip.by_index_raw(index).map_err(broken)?;
            let name = raw.name().map_err(broken)?.into_owned();
            let at = raw.header_start() as usize;
            let fault = |reason: &str| PickleError::Entry {
                file: file.name().to_owned(),
                at,
                entry: quote(&name),
                reason: reason.to_owned(),
            };
            if !is_safe_name(&name) {
                return Err(fault("the name leads out of its folder; do not unpack this file"));
            }
            if raw.is_dir() {
                continue;
            }
            if raw.encrypted() {
                return Err(fault("encrypted; save it without a password"));
            }
            let too_large = || fault("larger than memory");
            let size = usize::try_from(raw.size()).map_err(|_| too_large())?;
            let stored = match raw.compression() {
                CompressionMethod::Stored => {
                    let start = raw.data_start().and_then(|it| usize::try_from(it).ok());
                    let place = start.and_then(|start| Some(start..start.checked_add(size)?));
                    let place = place.filter(|it| it.end <= file.bytes().len());
                    if place.is_none() || raw.compressed_size() != raw.size() {
                        return Err(fault("cut short, or of two sizes; fetch the file again"));
                    }
                    // Entries that share bytes would take unbounded time to read.
                    stored_bytes = stored_bytes.saturating_add(size);
                    if file.bytes().len() < stored_bytes {
                        return Err(fault("overlaps other entries; do not use this file"));
                    }
                    place
                }
                CompressionMethod::Deflated => {
                    inflated = inflated.saturating_add(raw.size());
                    let limit = limits.expanded(file.bytes().len());
                    if limit < inflated {
                        let file = file.name().to_owned();
                        let what = "bytes inflated";
                        return Err(PickleError::Limit { file, at, what, limit });
                    }
                    None
                }
                _ => return Err(fault("unsupported compression; save the file with PyTorch")),
            };
            drop(raw);
            entries.insert(name, Entry { index, at, size, stored });
        }
        let prefix = prefix(file, &entries)?;
        Ok(Self { file: file.clone(), zip, entries, prefix })
    }

    /// Name of an entry in errors; `entry` is relative to the common folder.
    pub(super) fn label(&self, entry: &str) -> String {
        format!("{}: {}{entry}", self.file.name(), self.prefix)
    }

    /// Entries that end in `.pkl`, relative to the common folder.
    pub(super) fn pickles(&self) -> Vec<String> {
        let inside = |name: &String| Some(name.strip_prefix(&self.prefix)?.to_owned());
        self.entries.keys().filter(|it| it.ends_with(".pkl")).filter_map(inside).collect()
    }

    /// Number of entries in a folder inside the common folder.
    pub(super) fn count_below(&self, folder: &str) -> usize {
        let start = format!("{}{folder}/", self.prefix);
        self.entries.keys().filter(|name| name.starts_with(&start)).count()
    }

    /// True if the file is a TorchScript program.
    pub(super) fn is_script(&self) -> bool {
        self.entries.contains_key(&format!("{}constants.pkl", self.prefix))
            || self.count_below("code") != 0
            || !self.entries.contains_key(&format!("{}{OBJECT}", self.prefix))
    }

    /// The content of an entry; `name` is relative to the common folder.
    pub(super) fn read(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        let entry = self.entry(name)?;
        match &entry.stored {
            Some(place) => Ok(Cow::Borrowed(&self.file.bytes()[place.clone()])),
            None => inflate(&self.file, self.zip.clone(), entry.index, entry.size).map(Cow::Owned),
        }
    }

    /// The object's pickle.
    pub(super) fn object(&self) -> Result<Cow<'_, [u8]>> {
        self.read(OBJECT)
    }

    /// Name of the object's pickle in errors.
    pub(super) fn object_label(&self) -> String {
        self.label(OBJECT)
    }

    /// Checks that the file is little-endian.
    pub(super) fn check_order(&self) -> Result<()> {
        let name = format!("{}byteorder", self.prefix);
        // Files before PyTorch 2.1 have no such entry, and are little-endian.
        let Some(entry) = self.entries.get(&name) else { return Ok(()) };
        match self.read("byteorder")?.trim_ascii() {
            b"little" => Ok(()),
            b"big" => Err(PickleError::BigEndian { file: self.label("byteorder"), at: 0 }),
            _ => Err(PickleError::Entry {
                file: self.file.name().to_owned(),
                at: entry.at,
                entry: name,
                reason: "neither `little` nor `big`; fetch the file again".to_owned(),
            }),
        }
    }

    /// The storage that a pickle references.
    pub(super) fn storage(&self, id: &StorageId<'_>) -> Result<Arc<Storage>> {
        let name = format!("data/{}", id.key);
        let entry = self.entry(&name)?;
        if entry.size != id.bytes {
            return Err(PickleError::Entry {
                file: self.file.name().to_owned(),
                at: entry.at,
                entry: quote(&name),
                reason: format!(
                    "{} bytes, but the object states {}; fetch the file again",
                    entry.size, id.bytes
                ),
            });
        }
        Ok(self.storage_of(entry))
    }

    /// The storages of a TorchScript file, in order of their numbers.
    pub(super) fn numbered(&self) -> Vec<NumberedStorage> {
        let start = format!("{}data/", self.prefix);
        let numbered = self.entries.iter().filter_map(|(name, entry)| {
            let number = name.strip_prefix(&start)?.parse().ok()?;
            Some(NumberedStorage { number, entry: name.clone(), storage: self.storage_of(entry) })
        });
        let mut numbered: Vec<_> = numbered.collect();
        numbered.sort_by_key(|it| it.number);
        numbered
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let missing = || {
            content(self.file.name(), format!("no entry `{}`; fetch the file again", quote(name)))
        };
        self.entries.get(&format!("{}{name}", self.prefix)).ok_or_else(missing)
    }

    fn storage_of(&self, entry: &Entry) -> Arc<Storage> {
        match &entry.stored {
            Some(place) => Storage::slice(&self.file, place.clone()),
            None => Storage::deflated(&self.file, self.zip.clone(), entry.index, entry.size),
        }
    }
}

/// The folder that holds `data.pkl`, or else `data/0`.
fn prefix(file: &FileBytes, entries: &BTreeMap<String, Entry>) -> Result<String> {
    for landmark in [OBJECT, "data/0"] {
        let ends = |name: &String| {
            let folder = name.strip_suffix(landmark)?;
            (folder.is_empty() || (folder.ends_with('/') && folder.matches('/').count() == 1))
                .then(|| folder.to_owned())
        };
        let folders: Vec<String> = entries.keys().filter_map(ends).collect();
        match &folders[..] {
            [] => (),
            [folder] => return Ok(folder.clone()),
            _ => {
                let reason =
                    format!("{} folders contain `{landmark}`; expected one", folders.len());
                return Err(content(file.name(), reason));
            }
        }
    }
    Err(content(file.name(), "no `data.pkl` in this zip file; give a file of torch.save"))
}

/// True if a name from an archive stays inside the target folder when it is unpacked, on any
/// system.
fn is_safe_name(name: &str) -> bool {
    let foreign = name.contains('\\') || name.contains('\0') || name.contains(':');
    !name.is_empty()
        && !foreign
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}
