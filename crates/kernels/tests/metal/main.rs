//! The tests of `tests/gpu` on an Apple GPU, or on the device that emulates one.

extern crate uni_instruct_kernels as kernels;

#[path = "../gpu/comparing.rs"]
mod comparing;
#[path = "../gpu/noise.rs"]
mod noise;
#[path = "../gpu/operations.rs"]
mod operations;
#[path = "../gpu/updates.rs"]
mod updates;

/// The device under test.
const DEVICE: &str = "metal";
