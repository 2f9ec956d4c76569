//! The tests of `tests/gpu` on an Apple GPU, or on the device that emulates one.

#[path = "../gpu/presets.rs"]
mod presets;

/// The device under test.
const DEVICE: &str = "metal";
