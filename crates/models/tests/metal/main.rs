//! The tests of `tests/gpu` on an Apple GPU, or on the device that emulates one.

#[path = "../gpu/comparing.rs"]
mod comparing;
#[path = "../gpu/networks.rs"]
mod networks;

/// The device under test.
const DEVICE: &str = "metal";
