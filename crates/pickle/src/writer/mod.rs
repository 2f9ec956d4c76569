//! The formats that are read here, written: for PyTorch to load, and for tests.
//!
//! What is written is a function of the contents alone: keys of storages are numbers in order, and
//! zip entries carry no time.

mod archive;
mod edm;
mod legacy;
mod pickler;
mod plain;
mod tensor;

pub use archive::StateDictWriter;
pub use edm::{Class, EdmFile, ModuleSpec, write_edm};
pub use legacy::{legacy_state_dict, legacy_storage};
pub use pickler::{Pickler, Protocol};
pub use tensor::TensorSpec;
