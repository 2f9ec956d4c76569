//! What must hold of every reader of untrusted files, whatever the file.
//!
//! A target is a function of bytes that panics if a reader panics, or if what it read is not what
//! it says: more bytes than the file can stand for, or something else once it has been written and
//! read again. `fuzz_targets/` gives each to libFuzzer, `tests/replay.rs` gives each the files of
//! `corpus/`. How to run them is in the book, in the page on fuzzing.
//!
//! Formats with checksums hide what is inside them from mutation: whatever libFuzzer changes, the
//! checksum does not match. Such a target reads its input twice: as a file, and as the content of
//! a file that is made around it.

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

/// A target: bytes in, a panic if something does not hold.
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
