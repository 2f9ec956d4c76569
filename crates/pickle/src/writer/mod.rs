//! Writers of the formats that this crate reads, for PyTorch and for tests.
//!
//! The output depends only on the content: storages are numbered in order, and zip entries have no
//! time stamp.

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
