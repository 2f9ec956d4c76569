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

// Links the kernels.
use metal_host as _;

/// The device under test.
const DEVICE: &str = "metal";
