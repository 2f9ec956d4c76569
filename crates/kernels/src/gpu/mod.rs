//! Dispatch of operations to GPUs, and code shared by their kernels.
//!
//! The features `cuda` and `metal` are decided here. An operation calls [`on_gpu`] first, and
//! continues with the CPU or the composed form if its operands are not on a GPU with kernels.

#[cfg(feature = "cuda")]
pub(super) mod cuda;
#[cfg(feature = "metal")]
pub(super) mod metal;

use candle_core::{Device, Result, bail};

/// Returns the result of a GPU's implementation, if `test` in the module of that GPU is true.
///
/// The implementations of an operation are functions of the same name in its modules `cuda` and
/// `metal`.
macro_rules! on_gpu {
    ($test:ident($operands:expr) => $arm:ident($($argument:expr),* $(,)?)) => {
        #[cfg(feature = "cuda")]
        if $crate::gpu::cuda::$test($operands) {
            return cuda::$arm($($argument),*);
        }
        #[cfg(feature = "metal")]
        if $crate::gpu::metal::$test($operands) {
            return metal::$arm($($argument),*);
        }
    };
}
pub(super) use on_gpu;

/// Opens the NVIDIA GPU with this index.
#[cfg(feature = "cuda")]
pub(super) fn open_cuda(name: &str, index: usize) -> Result<Device> {
    match Device::new_cuda(index) {
        Ok(device) => Ok(device),
        Err(error) => bail!("device `{name}`: the CUDA driver cannot open it: {error}"),
    }
}

/// Opens the NVIDIA GPU with this index.
#[cfg(not(feature = "cuda"))]
pub(super) fn open_cuda(name: &str, _: usize) -> Result<Device> {
    bail!(
        "device `{name}`: this build has no CUDA support; use `cpu`, or build with `--features cuda`"
    )
}

/// Opens the Apple GPU.
#[cfg(feature = "metal")]
pub(super) fn open_metal() -> Result<Device> {
    // candle opens the first device without a check that one exists.
    if candle_metal_kernels::metal::Device::all().is_empty() {
        bail!("device `metal`: this machine has no GPU with Metal support; use `cpu`")
    }
    Device::new_metal(0)
}

/// Opens the Apple GPU.
#[cfg(not(feature = "metal"))]
pub(super) fn open_metal() -> Result<Device> {
    bail!(
        "device `metal`: this build has no Metal support; use `cpu`, or build with `--features metal` on a Mac"
    )
}
