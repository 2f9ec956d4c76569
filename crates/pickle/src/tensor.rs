//! Tensors of a file: a name, a shape and a view of a storage.

use std::borrow::Cow;
use std::sync::Arc;

use half::{bf16, f16};

use super::dtype::Dtype;
use super::error::{PickleError, Result, quote};
use super::storage::Storage;

/// Largest number of axes; PyTorch has the same limit.
pub(super) const MAX_AXES: usize = 64;

/// A tensor of a file. Its elements stay in the file until they are read.
///
/// Element `i` is element `offset + Σ iₖ · stridesₖ` of the storage. All elements have been checked
/// to be inside the storage.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// Name, as in `state_dict()`.
    pub name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: Arc<Storage>,
    file: Arc<str>,
    at: usize,
}

/// Description of a tensor in a file.
pub(super) struct Description {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) offset: usize,
    pub(super) storage: Arc<Storage>,
}

impl StoredTensor {
    /// Checks a description, which is at byte `at` of `file`.
    pub(super) fn new(
        name: String,
        description: Description,
        file: Arc<str>,
        at: usize,
    ) -> Result<Self> {
        let Description { dtype, shape, strides, offset, storage } = description;
        let tensor = Self { name, dtype, shape, strides, offset, storage, file, at };
        tensor.check()?;
        Ok(tensor)
    }

    /// A contiguous view of a whole storage, such as a storage of a TorchScript file.
    ///
    /// # Errors
    ///
    /// If the shape does not need exactly the bytes of the storage.
    pub fn over(
        storage: &Arc<Storage>,
        name: String,
        dtype: Dtype,
        shape: &[usize],
    ) -> Result<Self> {
        let strides = contiguous(shape);
        let (shape, storage) = (shape.to_vec(), Arc::clone(storage));
        let (file, held) = (storage.file().into(), storage.len());
        let at = storage.range().map_or(0, |range| range.start);
        let description = Description { dtype, shape, strides, offset: 0, storage };
        let tensor = Self::new(name, description, file, at)?;
        if tensor.count() * dtype.bytes() != held {
            let shape = &tensor.shape;
            return Err(tensor.fault(format!(
                "shape {shape:?} does not fill {held} bytes; check shape and type"
            )));
        }
        Ok(tensor)
    }

    fn check(&self) -> Result<()> {
        let Self { shape, strides, .. } = self;
        if shape.len() != strides.len() || MAX_AXES < shape.len() {
            let (axes, strides) = (shape.len(), strides.len());
            return Err(self.fault(format!(
                "{axes} axes and {strides} strides; their numbers must be equal and at most {MAX_AXES}; \
                 fetch the file again"
            )));
        }
        let held = self.storage.len() / self.dtype.bytes();
        let too_large =
            || self.fault(format!("shape {shape:?} is larger than memory; do not use this file"));
        let count = shape.iter().try_fold(1usize, |count, &n| count.checked_mul(n));
        let count = count.ok_or_else(too_large)?;
        if count == 0 {
            return Ok(());
        }
        // With overlapping strides, a small storage could have any number of elements.
        if held < count {
            let reason = format!(
                "shape {shape:?} needs more than the {held} elements of its storage; do not use this file"
            );
            return Err(self.fault(reason));
        }
        let last = shape.iter().zip(strides).try_fold(self.offset, |last, (&n, &stride)| {
            last.checked_add((n - 1).checked_mul(stride)?)
        });
        match last {
            Some(last) if last < held => Ok(()),
            _ => Err(self.fault(format!(
                "shape {shape:?} with strides {strides:?} from {} leads beyond the {held} elements \
                 of its storage; do not use this file",
                self.offset
            ))),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Distance between neighbors along each axis, in elements.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// Position of the first element in the storage, in elements.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The storage that the tensor is a view of.
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if the elements are consecutive and in row-major order.
    pub fn is_contiguous(&self) -> bool {
        self.count() == 0 || self.run().0 == self.count()
    }

    /// The elements in row-major order, little-endian.
    ///
    /// Borrows the bytes of a contiguous tensor from the file, and copies otherwise.
    ///
    /// # Errors
    ///
    /// If the storage is compressed and damaged.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        let width = self.dtype.bytes();
        if self.count() == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        let content = self.storage.content()?;
        let (run, outer) = self.run();
        let start = self.offset * width;
        if run == self.count() {
            return Ok(Cow::Borrowed(&content[start..start + run * width]));
        }
        let mut bytes = Vec::with_capacity(self.count() * width);
        let mut index = vec![0; outer];
        let mut at = self.offset;
        loop {
            bytes.extend_from_slice(&content[at * width..(at + run) * width]);
            // Advances the index, the last outer axis fastest.
            let mut axis = outer;
            loop {
                if axis == 0 {
                    return Ok(Cow::Owned(bytes));
                }
                axis -= 1;
                // The stride along an axis of length 1 is arbitrary and may be huge.
                if self.shape[axis] == 1 {
                    continue;
                }
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.strides[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
    }

    /// The elements in row-major order as f32; f64 is rounded.
    ///
    /// # Errors
    ///
    /// If the elements are integers, or the storage is compressed and damaged.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        fn numbers<const W: usize>(bytes: &[u8], decode: impl Fn([u8; W]) -> f32) -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|&chunk| decode(chunk)).collect()
        }
        let bytes = self.bytes()?;
        Ok(match self.dtype {
            Dtype::F64 => numbers(&bytes, |it| f64::from_le_bytes(it) as f32),
            Dtype::F32 => numbers(&bytes, f32::from_le_bytes),
            Dtype::F16 => numbers(&bytes, |it| f16::from_le_bytes(it).into()),
            Dtype::Bf16 => numbers(&bytes, |it| bf16::from_le_bytes(it).into()),
            integer => {
                let name = integer.torch_name();
                return Err(self.fault(format!(
                    "elements are {name}, expected floating point; read them with `bytes`"
                )));
            }
        })
    }

    /// Number of consecutive elements along the last axes, and number of axes before these.
    fn run(&self) -> (usize, usize) {
        let mut run = 1;
        for (axis, (&n, &stride)) in self.shape.iter().zip(&self.strides).enumerate().rev() {
            if n != 1 && stride != run {
                return (run, axis + 1);
            }
            run *= n;
        }
        (run, 0)
    }

    /// The error for this tensor.
    fn fault(&self, reason: String) -> PickleError {
        PickleError::Tensor {
            file: self.file.to_string(),
            at: self.at,
            tensor: quote(&self.name),
            reason,
        }
    }
}

/// Strides of a contiguous tensor.
pub(super) fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}
