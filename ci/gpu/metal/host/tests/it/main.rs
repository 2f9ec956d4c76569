//! Tests of the `metal` code on the emulated device.

#[path = "../../../../../../crates/kernels/tests/gpu/comparing.rs"]
mod comparing;
#[path = "../../../../../../crates/models/tests/gpu/networks.rs"]
mod networks;
#[path = "../../../../../../crates/kernels/tests/gpu/noise.rs"]
mod noise;
#[path = "../../../../../../crates/kernels/tests/gpu/operations.rs"]
mod operations;
#[path = "../../../../../../crates/train/tests/gpu/presets.rs"]
mod presets;
#[path = "../../../../../../crates/kernels/tests/gpu/updates.rs"]
mod updates;

// The shared tests use the names that they have in their own crates.
extern crate uni_instruct_models as models;

// Links the kernels.
use metal_host as _;

/// The device under test.
const DEVICE: &str = "metal";
