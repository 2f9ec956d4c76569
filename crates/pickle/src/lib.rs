//! Networks out of Python's pickles and PyTorch's files, without Python and without running them.
//!
//! # Why an interpreter
//!
//! A pickle is a program: it names functions of any module and calls them, so Python's loader runs
//! whatever a file asks for. Yet the programs that describe networks only put values together. The
//! interpreter here does that much. A name is an inert value, a call is a note that was not acted
//! on, and a name that is not on a short list is an error. The layers above know what the calls of
//! PyTorch and of EDM mean, and make tensors of them.
//!
//! # Why an arena
//!
//! A file may describe lists nested a million deep, lists that hold themselves, and a tree of 2⁶⁰
//! leaves in a kilobyte. Values that own each other would overflow the stack when they are
//! dropped. So all values stand in one vector and refer to each other by index, nothing calls
//! itself, and everything that can grow is counted against [`Limits`].
//!
//! # Map
//!
//! - [`open`]: a file of any kind to its [`Contents`]: networks, state dicts, storages.
//! - [`StoredTensor`]: a view of the file; its numbers are copied when they are asked for.
//! - [`scan`]: what Python's loader would import and call.
//! - [`parse`]: the interpreter by itself, to its [`Document`].
//! - [`writer`]: the same formats, written.
//!
//! There is no import, no call, no network access and no `unsafe` in here.

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
pub use machine::{Document, parse};
pub use network::{PickledModule, PickledNetwork, PickledObject};
pub use plain::{Plain, PlainRef};
pub use scan::{GlobalUse, Report, SourceText, scan};
pub use state_dict::{Choice, StateDict};
pub use storage::Storage;
pub use tensor::StoredTensor;
pub use value::{Arena, Id, Node, Object};
