//! Every operation on a CUDA device against the composed form on the CPU in f64. The device is a
//! GPU, or the mock driver that runs the kernels on the CPU.

// The name that the rest of the workspace uses, so that other test programs can include these
// files.
extern crate uni_instruct_kernels as kernels;

mod comparing;
mod double;
mod noise;
mod operations;
mod races;
mod updates;

/// The device under test.
const DEVICE: &str = "cuda";
