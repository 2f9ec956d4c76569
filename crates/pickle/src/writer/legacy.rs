//! Legacy files of `torch.save`.

use std::sync::Arc;

use super::super::dtype::Dtype;
use super::super::error::{PickleError, Result};
use super::super::legacy::{MAGIC, PROTOCOL};
use super::super::plain::Plain;
use super::tensor::{TensorSpec, legacy_storage_id};
use super::{Pickler, Protocol};

/// Writes a single storage, as in EDM's pickles.
///
/// # Errors
///
/// If the last element is incomplete.
pub fn legacy_storage(dtype: Dtype, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut object = Pickler::new(Protocol::Two);
    legacy_storage_id(&mut object, dtype, "0", bytes.len())?;
    file(object.finish(), &[(dtype, bytes)])
}

/// Writes a state dict for `torch.load` of any version. Tensors of one storage share it in the
/// file.
///
/// # Errors
///
/// If the last element of a storage is incomplete.
pub fn legacy_state_dict(tensors: &[(String, TensorSpec)]) -> Result<Vec<u8>> {
    let mut storages: Vec<(Dtype, &Arc<[u8]>)> = Vec::new();
    let keys: Vec<usize> = tensors
        .iter()
        .map(|(_, tensor)| {
            let known = storages.iter().position(|(_, it)| Arc::ptr_eq(it, &tensor.storage));
            known.unwrap_or_else(|| {
                storages.push((tensor.dtype, &tensor.storage));
                storages.len() - 1
            })
        })
        .collect();
    let mut object = Pickler::new(Protocol::Two);
    object.ordered_dict();
    object.entries(tensors.len(), |object, index| {
        let (name, tensor) = &tensors[index];
        object.text(name);
        tensor.write(object, |object| {
            let key = keys[index].to_string();
            legacy_storage_id(object, tensor.dtype, &key, tensor.storage.len())
        })
    })?;
    let storages: Vec<(Dtype, &[u8])> =
        storages.iter().map(|(dtype, it)| (*dtype, &***it)).collect();
    file(object.finish(), &storages)
}

/// Writes the five pickles and the storages, whose keys are their numbers.
fn file(object: Vec<u8>, storages: &[(Dtype, &[u8])]) -> Result<Vec<u8>> {
    let whole = |value: Plain| -> Result<Vec<u8>> {
        let mut pickler = Pickler::new(Protocol::Two);
        pickler.plain(&value)?;
        Ok(pickler.finish())
    };
    let sizes = [("short", 2), ("int", 4), ("long", 4)];
    let sizes = sizes.map(|(name, bytes): (_, i64)| (name, Plain::from(bytes)));
    let machine = Plain::dict([
        ("protocol_version", Plain::from(PROTOCOL)),
        ("little_endian", Plain::from(true)),
        ("type_sizes", Plain::dict(sizes)),
    ]);
    let keys = (0..storages.len()).map(|key| Plain::from(key.to_string().as_str()));
    let mut bytes = [
        whole(Plain::from(MAGIC))?,
        whole(Plain::from(PROTOCOL))?,
        whole(machine)?,
        object,
        whole(Plain::list(keys))?,
    ]
    .concat();
    for (dtype, storage) in storages {
        if !storage.len().is_multiple_of(dtype.bytes()) {
            let what =
                format!("{} bytes as elements of {} bytes each", storage.len(), dtype.bytes());
            return Err(PickleError::Unwritable { what });
        }
        bytes.extend(((storage.len() / dtype.bytes()) as i64).to_le_bytes());
        bytes.extend_from_slice(storage);
    }
    Ok(bytes)
}
