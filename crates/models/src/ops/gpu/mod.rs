//! Which GPU runs an operation, and what the arms of the GPUs share.
//!
//! This is where the features are decided. An operation asks [`on_gpu`] first, and goes on to the
//! CPU or to the composed form if no GPU with kernels holds its operands.

#[cfg(feature = "cuda")]
pub(super) mod cuda;
#[cfg(feature = "metal")]
pub(super) mod metal;

use candle_core::{Device, Result, bail};

/// Returns what the arm of a GPU gives, if `test` of that GPU's module says that it should run.
///
/// The arms of an operation are functions of one name in its modules `cuda` and `metal`.
macro_rules! on_gpu {
    ($test:ident($operands:expr) => $arm:ident($($argument:expr),* $(,)?)) => {
        #[cfg(feature = "cuda")]
        if $crate::ops::gpu::cuda::$test($operands) {
            return cuda::$arm($($argument),*);
        }
        #[cfg(feature = "metal")]
        if $crate::ops::gpu::metal::$test($operands) {
            return metal::$arm($($argument),*);
        }
    };
}
pub(super) use on_gpu;

/// The NVIDIA GPU with this number.
#[cfg(feature = "cuda")]
pub(super) fn open_cuda(name: &str, index: usize) -> Result<Device> {
    match Device::new_cuda(index) {
        Ok(device) => Ok(device),
        Err(error) => bail!("device `{name}`: the CUDA driver does not open it: {error}"),
    }
}

/// The NVIDIA GPU with this number.
#[cfg(not(feature = "cuda"))]
pub(super) fn open_cuda(name: &str, _: usize) -> Result<Device> {
    bail!(
        "device `{name}`: this build has no CUDA support; use `cpu`, or build with `--features cuda`"
    )
}

/// The Apple GPU.
#[cfg(feature = "metal")]
pub(super) fn open_metal() -> Result<Device> {
    // candle takes the first device without looking whether there is one.
    if candle_metal_kernels::metal::Device::all().is_empty() {
        bail!("device `metal`: this machine has no GPU that Metal knows; use `cpu`")
    }
    Device::new_metal(0)
}

/// The Apple GPU.
#[cfg(not(feature = "metal"))]
pub(super) fn open_metal() -> Result<Device> {
    bail!(
        "device `metal`: this build has no Metal support; use `cpu`, or build with `--features metal` on a Mac"
    )
}
