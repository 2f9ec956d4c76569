//! Whole networks on a CUDA device against the composed form on the CPU in f64. The device is a
//! GPU, or the mock driver that runs the kernels on the CPU.

mod comparing;
mod networks;

/// The device under test.
const DEVICE: &str = "cuda";
