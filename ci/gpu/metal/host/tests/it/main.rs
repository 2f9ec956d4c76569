//! Tests of the `metal` code on the emulated device.

#[path = "../../../../../../crates/models/tests/gpu/comparing.rs"]
mod comparing;
#[path = "../../../../../../crates/models/tests/gpu/networks.rs"]
mod networks;
#[path = "../../../../../../crates/models/tests/gpu/noise.rs"]
mod noise;
#[path = "../../../../../../crates/models/tests/gpu/operations.rs"]
mod operations;
#[path = "../../../../../../crates/train/tests/gpu/presets.rs"]
mod presets;
#[path = "../../../../../../crates/models/tests/gpu/updates.rs"]
mod updates;

// Links the kernels.
use metal_host as _;

/// The device under test.
const DEVICE: &str = "metal";
