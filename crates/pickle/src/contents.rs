//! Content of a file of any kind.

use super::archive::{Archive, NumberedStorage};
use super::error::{PickleError, Result};
use super::file::FileBytes;
use super::legacy;
use super::limits::Limits;
use super::machine::parse;
use super::network::{Instance, Networks, PickledNetwork, PickledObject};
use super::plain::Plain;
use super::state_dict::{self, Choice, StateDict};
use super::tensors::{Outside, Tensors};
use super::to_plain::to_plain;
use super::walk::Walk;

/// Offset of a tar file's magic (POSIX.1-1988 ustar).
const TAR_MAGIC_AT: usize = 257;

/// Kind of a file, detected from its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A single pickle, as EDM and StyleGAN write them.
    Pickle,
    /// A file of `torch.save` before PyTorch 1.6.
    Legacy,
    /// A zip file of `torch.save` since PyTorch 1.6.
    Archive,
    /// A zip file with a TorchScript program.
    Script,
}

/// Content of a file.
///
/// Lists that do not occur in a kind of file are empty.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Name of the file in errors.
    pub file: String,
    /// Kind of the file.
    pub kind: Kind,
    /// Networks that were pickled as objects.
    pub networks: Vec<PickledNetwork>,
    /// Other instances of a class, such as losses.
    pub objects: Vec<PickledObject>,
    /// Dictionaries that contain tensors.
    pub state_dicts: Vec<StateDict>,
    /// The other entries of the outermost dictionary.
    pub values: Vec<(String, Plain)>,
    /// Raw storages of a TorchScript file, the only part of it that is read.
    pub storages: Vec<NumberedStorage>,
}

impl Contents {
    /// The network with this key. Without a key: the only network, or the one whose name is first
    /// in the list of usual names (`ema` first).
    ///
    /// # Errors
    ///
    /// If there is no such network, or several and none has a usual name.
    pub fn network(&self, wanted: Option<&str>) -> Result<(&PickledNetwork, Choice)> {
        let names: Vec<&str> = self.networks.iter().map(|it| it.key.as_str()).collect();
        let (index, choice) = state_dict::choose(&self.file, "network", &names, wanted)?;
        Ok((&self.networks[index], choice))
    }

    /// The state dict at this path. Without a path: the only one, or the one whose name is first in
    /// the list of usual names (`ema` first, then the outermost dictionary, then `state_dict`,
    /// `model` and others).
    ///
    /// # Errors
    ///
    /// If there is no such state dict, or several and none has a usual name.
    pub fn state_dict(&self, wanted: Option<&str>) -> Result<(&StateDict, Choice)> {
        let names: Vec<&str> = self.state_dicts.iter().map(|it| it.path.as_str()).collect();
        let (index, choice) = state_dict::choose(&self.file, "state dict", &names, wanted)?;
        Ok((&self.state_dicts[index], choice))
    }
}

/// Detects the kind of a file from its first bytes and, for a zip file, its directory.
///
/// # Errors
///
/// If the kind is not supported, or a zip file is damaged or unsafe.
pub fn kind(file: &FileBytes, limits: &Limits) -> Result<Kind> {
    let zip = |archive: Archive| if archive.is_script() { Kind::Script } else { Kind::Archive };
    match by_magic(file)? {
        Kind::Archive => Archive::open(file, limits).map(zip),
        other => Ok(other),
    }
}

/// Reads a file.
///
/// # Errors
///
/// If the file is damaged, contains a name outside the list of harmless names, exceeds the limits,
/// or is of a kind that is not supported. The error names the file and the byte.
pub fn open(file: &FileBytes, limits: &Limits) -> Result<Contents> {
    let (name, bytes) = (file.name(), file.bytes());
    match by_magic(file)? {
        Kind::Pickle => {
            let document = parse(name, bytes, 0..bytes.len(), limits)?;
            let walk = Walk::new(name, &document, bytes, limits);
            collect(Kind::Pickle, &walk, file, Outside::Nothing)
        }
        Kind::Legacy => {
            let legacy = legacy::read(name, bytes, 0..bytes.len(), limits)?;
            let walk = Walk::new(name, &legacy.document, bytes, limits);
            collect(Kind::Legacy, &walk, file, Outside::Parts(&legacy.storages))
        }
        Kind::Archive | Kind::Script => {
            let archive = Archive::open(file, limits)?;
            archive.check_order()?;
            if archive.is_script() {
                let storages = archive.numbered();
                return Ok(Contents { storages, ..empty(Kind::Script, name) });
            }
            let (object, label) = (archive.object()?, archive.object_label());
            let document = parse(&label, &object, 0..object.len(), limits)?;
            let walk = Walk::new(&label, &document, &object, limits);
            collect(Kind::Archive, &walk, file, Outside::Archive(&archive))
        }
    }
}

/// The kind according to the first bytes; any zip file is an archive.
pub(super) fn by_magic(file: &FileBytes) -> Result<Kind> {
    let bytes = file.bytes();
    let unknown = |found: &str| {
        Err(PickleError::Kind { file: file.name().to_owned(), found: found.to_owned() })
    };
    let has = |at: usize, magic: &[u8]| bytes.get(at..at + magic.len()) == Some(magic);
    match bytes {
        [] => unknown("an empty file"),
        _ if has(0, b"PK\x03\x04") || has(0, b"PK\x05\x06") => Ok(Kind::Archive),
        _ if legacy::is_legacy(bytes) => Ok(Kind::Legacy),
        _ if has(TAR_MAGIC_AT, b"ustar") => unknown("a tar file, as PyTorch wrote before 2017"),
        _ if has(size_of::<u64>(), b"{\"") => unknown("a safetensors file"),
        _ if has(0, b"\x89HDF") => unknown("an HDF5 file"),
        _ if has(0, b"<") => unknown("a web page, not the file it links to"),
        // Protocols 2 and up start with their number; older ones with a value.
        [0x80, 0..=5, ..] | [b'(' | b'}' | b']' | b'c', ..] => Ok(Kind::Pickle),
        _ => unknown("neither a pickle nor a zip file"),
    }
}

fn empty(kind: Kind, file: &str) -> Contents {
    Contents {
        file: file.to_owned(),
        kind,
        networks: Vec::new(),
        objects: Vec::new(),
        state_dicts: Vec::new(),
        values: Vec::new(),
        storages: Vec::new(),
    }
}

fn collect<'w>(
    kind: Kind,
    walk: &'w Walk<'w>,
    file: &'w FileBytes,
    outside: Outside<'w>,
) -> Result<Contents> {
    let mut contents = empty(kind, file.name());
    let root = walk.document.root;
    let mut tensors = Tensors::new(walk, file, outside);
    if tensors.is_tensor(root) {
        let tensors = vec![tensors.tensor(root, String::new())?];
        contents.state_dicts.push(StateDict { path: String::new(), tensors, skipped: Vec::new() });
        return Ok(contents);
    }
    let (state_dicts, leading) = state_dict::find(walk, &mut tensors)?;
    contents.state_dicts = state_dicts;

    let mut networks = Networks::new(walk, &mut tensors);
    let whole = [(None, root)];
    let parts: Vec<_> = match walk.entries(root) {
        Some(entries) => entries.iter().map(|&(key, value)| (Some(key), value)).collect(),
        None => whole.to_vec(),
    };
    for (key, id) in parts {
        let key = match key {
            None => "",
            Some(key) => match walk.text(key) {
                Some(key) => key,
                None => continue,
            },
        };
        walk.spend(id, key.len() + size_of::<(String, Plain)>())?;
        let name = key.to_owned();
        if let Some(instance) = Instance::of(walk, id)? {
            let is_module = instance.is_module(walk)?;
            if is_module {
                contents.networks.push(networks.network(name, id)?)
            } else {
                contents.objects.push(networks.object(name, instance)?)
            }
        } else if !leading.contains(key) && !networks.is_tensor(id) {
            contents.values.push((name, to_plain(walk, id)?));
        }
    }
    Ok(contents)
}
