//! Tensors, written as calls of PyTorch's functions.

use std::sync::Arc;

use super::super::dtype::Dtype;
use super::super::error::{PickleError, Result};
use super::super::tensor::contiguous;
use super::Pickler;

/// Tensor to write: a view of a storage, which several tensors may share.
#[derive(Clone, Debug)]
pub struct TensorSpec {
    /// Element type.
    pub dtype: Dtype,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Distance between neighbors along each axis, in elements.
    pub strides: Vec<usize>,
    /// Position of the first element in the storage, in elements.
    pub offset: usize,
    /// Little-endian elements.
    pub storage: Arc<[u8]>,
}

impl TensorSpec {
    /// A contiguous tensor that fills its storage.
    pub fn new(dtype: Dtype, shape: &[usize], bytes: impl Into<Arc<[u8]>>) -> Self {
        let (shape, strides) = (shape.to_vec(), contiguous(shape));
        Self { dtype, shape, strides, offset: 0, storage: bytes.into() }
    }

    /// A contiguous tensor of f32.
    pub fn of_f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        Self::new(Dtype::F32, shape, bytes)
    }

    /// Writes the call that creates the tensor; `storage` writes the storage.
    ///
    /// # Errors
    ///
    /// The errors of `storage`.
    pub fn write(
        &self,
        pickler: &mut Pickler,
        storage: impl FnOnce(&mut Pickler) -> Result<()>,
    ) -> Result<()> {
        pickler.call(("torch._utils", "_rebuild_tensor_v2"), 6, |pickler| {
            storage(pickler)?;
            pickler.int(self.offset as i128);
            sizes(pickler, &self.shape)?;
            sizes(pickler, &self.strides)?;
            pickler.bool(false);
            pickler.ordered_dict();
            Ok(())
        })
    }
}

/// Checks that the number of bytes matches the shape.
pub(super) fn check_bytes(name: &str, dtype: Dtype, shape: &[usize], bytes: usize) -> Result<()> {
    let count = shape.iter().try_fold(dtype.bytes(), |count, &n| count.checked_mul(n));
    if count == Some(bytes) {
        Ok(())
    } else {
        Err(PickleError::Unwritable {
            what: format!("tensor `{name}`: shape {shape:?} does not match its {bytes} bytes"),
        })
    }
}

/// Writes a reference to a storage outside the pickle.
pub(super) fn storage_id(
    pickler: &mut Pickler,
    dtype: Dtype,
    key: &str,
    bytes: usize,
) -> Result<()> {
    storage_tuple(pickler, dtype, key, bytes, 5)
}

/// Writes the same for legacy files, which add `None` for "not a view of another storage".
pub(super) fn legacy_storage_id(
    pickler: &mut Pickler,
    dtype: Dtype,
    key: &str,
    bytes: usize,
) -> Result<()> {
    storage_tuple(pickler, dtype, key, bytes, 6)
}

fn storage_tuple(
    pickler: &mut Pickler,
    dtype: Dtype,
    key: &str,
    bytes: usize,
    items: usize,
) -> Result<()> {
    pickler.tuple(items, |pickler| {
        pickler.text("storage");
        pickler.global("torch", dtype.storage_class());
        pickler.text(key);
        pickler.text("cpu");
        pickler.int((bytes / dtype.bytes()) as i128);
        if items == 6 {
            pickler.none();
        }
        Ok(())
    })?;
    pickler.persistent();
    Ok(())
}

fn sizes(pickler: &mut Pickler, sizes: &[usize]) -> Result<()> {
    pickler.tuple(sizes.len(), |pickler| {
        sizes.iter().for_each(|&size| pickler.int(size as i128));
        Ok(())
    })
}
