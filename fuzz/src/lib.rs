//! Fuzz targets: properties that hold for every file given to a reader of untrusted files.
//!
//! A target is a function of bytes that panics if a property is violated: the reader does not
//! panic, its result is no larger than the file allows, and the result is the same after it is
//! written and read again. `fuzz_targets/` runs each target in libFuzzer, `tests/replay.rs` runs it
//! on the files of `corpus/`. The page on fuzzing in `docs/` gives the commands.
//!
//! A checksum rejects nearly every mutation of a file. For a format with checksums, the target
//! reads its input twice: as a file, and as the content of a file that is made around it.

mod around;
mod contents;
mod dataset;
mod idx;
mod npz;
mod pickle;
mod png;
mod safetensors;

pub use contents::network_config;
pub use dataset::dataset;
pub use idx::idx;
pub use npz::npz;
pub use pickle::{archive, pickle};
pub use png::png;
pub use safetensors::safetensors;

/// A target: a function of bytes that panics if a property is violated.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("pickle", pickle),
    ("archive", archive),
    ("safetensors", safetensors),
    ("npz", npz),
    ("png", png),
    ("idx", idx),
    ("dataset", dataset),
];
