#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod archive;
mod contents;
mod cursor;
mod dtype;
mod error;
mod file;
mod globals;
mod legacy;
mod limits;
mod machine;
mod network;
mod opcode;
mod plain;
mod scan;
mod state_dict;
mod storage;
mod tensor;
mod tensors;
mod to_plain;
mod value;
mod walk;
pub mod writer;

#[cfg(test)]
mod tests;

pub use archive::NumberedStorage;
pub use contents::{Contents, Kind, kind, open};
pub use dtype::Dtype;
pub use error::{PickleError, Result};
pub use file::FileBytes;
pub use limits::Limits;
pub use network::{PickledModule, PickledNetwork, PickledObject};
pub use plain::{Plain, PlainRef};
pub use scan::{GlobalUse, ScanReport, SourceText, scan};
pub use state_dict::{Choice, StateDict};
pub use storage::Storage;
pub use tensor::StoredTensor;
