//! Between candle's tensors and slices of `f32`.

use candle_core::{CpuStorage, DType, Device, Layout, Result, Shape, Storage, Tensor, bail};

use super::runtime::{Kernels, kernels};

/// Whether the kernels of this crate take these operands: on the CPU, in f32, and not switched off.
pub(super) fn has_kernel(operands: &[&Tensor]) -> bool {
    kernels() != Kernels::Off
        && operands.iter().all(|it| it.device().is_cpu() && it.dtype() == DType::F32)
}

/// The numbers of a contiguous operand. Public functions make their operands so.
pub(super) fn dense<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a kernel was given a tensor that is not contiguous"),
    }
}

/// Runs `f` on the numbers of `tensor`, in row-major order.
pub(super) fn with_dense<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(dense(storage, layout)?),
        _ => bail!("a CPU kernel was given a tensor of another device"),
    }
}

/// A CPU tensor of these numbers.
pub(super) fn tensor(numbers: Vec<f32>, shape: &Shape) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape, &Device::Cpu)
}
