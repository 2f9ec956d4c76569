//! Conversion between candle's tensors and slices of `f32`.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};
use parking_lot::RwLockReadGuard;

use super::runtime::{Kernels, kernels};

/// True if the kernels of this crate support these operands: on the CPU, in f32, and not disabled.
pub(super) fn has_kernel(operands: &[&Tensor]) -> bool {
    kernels() != Kernels::Off
        && operands.iter().all(|it| it.device().is_cpu() && it.dtype() == DType::F32)
}

/// The elements of a contiguous operand. Public functions make their operands contiguous.
pub(super) fn dense<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a kernel received a tensor that is not contiguous"),
    }
}

/// The borrowed elements of a contiguous tensor.
pub(super) struct Dense<'a> {
    storage: RwLockReadGuard<'a, Storage>,
    range: Range<usize>,
}

impl<'a> Dense<'a> {
    /// Borrows a contiguous f32 tensor on the CPU; any other is an error.
    pub(super) fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let (start, end) = match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(_)), Some(offsets)) => offsets,
            _ => bail!("a CPU kernel received a tensor that is not contiguous f32 on the CPU"),
        };
        Ok(Self { storage, range: start..end })
    }
}

impl Deref for Dense<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(numbers)) => &numbers[self.range.clone()],
            // `of` has rejected any other.
            _ => &[],
        }
    }
}

/// Calls `f` with the elements of `tensor`, in row-major order.
pub(super) fn with_dense<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(dense(storage, layout)?),
        _ => bail!("a CPU kernel received a tensor on another device"),
    }
}

/// A CPU tensor of these elements.
pub(super) fn tensor(numbers: Vec<f32>, shape: &Shape) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape, &Device::Cpu)
}
