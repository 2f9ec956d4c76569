//! Tensors from their descriptions in a pickle.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::archive::Archive;
use super::dtype::Dtype;
use super::error::{PickleError, Result, quote};
use super::file::FileBytes;
use super::legacy;
use super::storage::{Storage, StorageId};
use super::tensor::{Description, MAX_AXES, StoredTensor};
use super::to_plain::encoded;
use super::value::{Id, Node};
use super::walk::Walk;

/// Steps charged for a tensor, in addition to its name and shape.
const TENSOR_BYTES: usize = size_of::<StoredTensor>();

/// Location of the storages that a pickle references by key.
pub(super) enum Outside<'w> {
    /// None: a single pickle.
    Nothing,
    /// In entries of the same zip file.
    Archive(&'w Archive),
    /// In parts of the same file.
    Parts(&'w BTreeMap<String, Range<usize>>),
}

/// Reads the tensors of one pickle. Tensors of the same storage share it.
pub(super) struct Tensors<'w> {
    walk: &'w Walk<'w>,
    file: &'w FileBytes,
    name: Arc<str>,
    outside: Outside<'w>,
    by_key: HashMap<&'w str, Arc<Storage>>,
    /// Storages by the byte string that they are pickled in.
    nested: HashMap<Id, (Option<Dtype>, Arc<Storage>)>,
    /// Bytes of all tensors read so far.
    total: u64,
}

impl<'w> Tensors<'w> {
    pub(super) fn new(walk: &'w Walk<'w>, file: &'w FileBytes, outside: Outside<'w>) -> Self {
        Self {
            walk,
            file,
            name: walk.file.into(),
            outside,
            by_key: HashMap::new(),
            nested: HashMap::new(),
            total: 0,
        }
    }

    /// True if the value is a tensor or a parameter.
    pub(super) fn is_tensor(&self, id: Id) -> bool {
        let rebuilt = |name: &str| name.starts_with("_rebuild_");
        self.walk.class(id).is_some_and(|(module, name)| module == "torch._utils" && rebuilt(name))
    }

    /// Reads a tensor and gives it a name.
    pub(super) fn tensor(&mut self, id: Id, name: String) -> Result<StoredTensor> {
        let walk = self.walk;
        walk.spend(id, TENSOR_BYTES + name.len() + 2 * MAX_AXES)?;
        let fault = |reason: String| PickleError::Tensor {
            file: walk.file.to_owned(),
            at: walk.at(id),
            tensor: quote(&name),
            reason,
        };
        let Some((class, args)) = rebuilt(walk, unwrap_parameter(walk, id)) else {
            return Err(fault(format!("{} is not a tensor", walk.describe(id))));
        };
        let (&[storage, offset, shape, strides], rest) =
            args.split_first_chunk().ok_or_else(|| {
                fault(format!("`{class}` has {} arguments, expected at least 4", args.len()))
            })?;
        let (stored, storage) = self.storage(storage, &fault)?;
        let sizes = |id: Id| -> Option<Vec<usize>> {
            let items = walk.sequence(id).filter(|it| it.len() <= MAX_AXES)?;
            items.iter().map(|&item| walk.size(item)).collect()
        };
        let (Some(offset), Some(shape), Some(strides)) =
            (walk.size(offset), sizes(shape), sizes(strides))
        else {
            return Err(fault("a shape, stride or offset is not a small number".to_owned()));
        };
        // Version 3 states the element type after flags and hooks.
        let named = (class == "_rebuild_tensor_v3").then(|| dtype_named(walk, *rest.get(2)?));
        let dtype = match named {
            Some(named) => named,
            None => stored,
        };
        let dtype = dtype.ok_or_else(|| {
            fault("the element type is not supported; save the weights as float32".to_owned())
        })?;
        let description = Description { dtype, shape, strides, offset, storage };
        let tensor = StoredTensor::new(name, description, Arc::clone(&self.name), walk.at(id))?;
        self.count(id, tensor.count() * dtype.bytes())?;
        Ok(tensor)
    }

    /// Bounds the total size of all views.
    fn count(&mut self, id: Id, bytes: usize) -> Result<()> {
        self.total = self.total.saturating_add(bytes as u64);
        let limit = self.walk.limits.expanded(self.file.bytes().len());
        if self.total <= limit {
            Ok(())
        } else {
            Err(self.walk.over(id, "bytes of tensors", limit))
        }
    }

    fn storage(
        &mut self,
        id: Id,
        fault: &dyn Fn(String) -> PickleError,
    ) -> Result<(Option<Dtype>, Arc<Storage>)> {
        let walk = self.walk;
        if let Some(args) = walk.args_of(id, "torch.storage", "_load_from_bytes") {
            let Some(&bytes) = args.first() else {
                return Err(walk.malformed(id, "a storage without bytes"));
            };
            return self.nested(bytes);
        }
        let reference = StorageId::of(walk, id)?;
        if let Some(storage) = self.by_key.get(reference.key) {
            return if storage.len() == reference.bytes {
                Ok((reference.dtype, Arc::clone(storage)))
            } else {
                Err(walk.malformed(id, "two lengths for the same storage"))
            };
        }
        let storage = match &self.outside {
            Outside::Archive(archive) => archive.storage(&reference)?,
            Outside::Parts(parts) => {
                Storage::slice(self.file, legacy::place(parts, &reference).map_err(fault)?)
            }
            Outside::Nothing => {
                return Err(fault(
                    "the storage is in another file; save the network with torch.save".to_owned(),
                ));
            }
        };
        self.by_key.insert(reference.key, Arc::clone(&storage));
        Ok((reference.dtype, storage))
    }

    /// Reads a storage that is a byte string of this pickle.
    fn nested(&mut self, bytes: Id) -> Result<(Option<Dtype>, Arc<Storage>)> {
        if let Some((dtype, storage)) = self.nested.get(&bytes) {
            return Ok((*dtype, Arc::clone(storage)));
        }
        let walk = self.walk;
        let found = match walk.node(bytes) {
            Node::Bytes(_) if matches!(self.outside, Outside::Archive(_)) => {
                return Err(walk.unsupported(bytes, "a storage inside the object of a zip file"));
            }
            Node::Bytes(span) => nested_storage(self.file, walk, span.clone())?,
            _ => {
                // Protocols below 3 represent bytes as text, which is decoded once.
                let Some(decoded) = encoded(walk, bytes)? else {
                    return Err(walk.malformed(bytes, "a storage that is not bytes"));
                };
                let label = format!("{}: storage at byte {}", walk.file, walk.at(bytes));
                let part = 0..decoded.len();
                nested_storage(&FileBytes::new(&label, decoded), walk, part)?
            }
        };
        self.nested.insert(bytes, found.clone());
        Ok(found)
    }
}

/// Reads a storage that is a legacy file inside another file.
fn nested_storage(
    file: &FileBytes,
    walk: &Walk<'_>,
    part: Range<usize>,
) -> Result<(Option<Dtype>, Arc<Storage>)> {
    let legacy = legacy::read(file.name(), file.bytes(), part, walk.limits)?;
    let inner = Walk::new(file.name(), &legacy.document, file.bytes(), walk.limits);
    let root = legacy.document.root;
    let reference = StorageId::of(&inner, root)?;
    let place = legacy::place(&legacy.storages, &reference);
    let place = place.map_err(|reason| inner.malformed(root, reason))?;
    Ok((reference.dtype, Storage::slice(file, place)))
}

/// The tensor inside a parameter, or the value itself.
fn unwrap_parameter(walk: &Walk<'_>, id: Id) -> Id {
    let wrapped = ["_rebuild_parameter", "_rebuild_parameter_with_state"]
        .into_iter()
        .find_map(|name| walk.args_of(id, "torch._utils", name));
    wrapped.and_then(|args| args.first().copied()).unwrap_or(id)
}

/// Name and arguments of the call that creates a tensor.
fn rebuilt<'w>(walk: &Walk<'w>, id: Id) -> Option<(&'static str, &'w [Id])> {
    ["_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_tensor_v3"]
        .into_iter()
        .find_map(|name| Some((name, walk.args_of(id, "torch._utils", name)?)))
}

fn dtype_named(walk: &Walk<'_>, id: Id) -> Option<Dtype> {
    let (module, name) = walk.global(id)?;
    let found = Dtype::ALL.into_iter().find(|it| it.torch_name() == name);
    found.filter(|_| module == "torch")
}
