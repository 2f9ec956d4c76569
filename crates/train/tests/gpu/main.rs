//! Training on a CUDA device: a GPU, or the mock driver that runs the kernels on the CPU.

mod presets;

/// The device under test.
const DEVICE: &str = "cuda";
