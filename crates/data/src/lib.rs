//! Images in, batches out: a pure function of seed and position.
//!
//! # Why no loader
//!
//! A loader with workers, queues and its own random state has to be checkpointed, and shows other
//! images when the batch is split differently. Here a data set is bytes in memory, its order is a
//! keyed permutation that is evaluated at a position ([`order`]). A resumed run asks for the next position.
//!
//! # Map
//!
//! - [`Dataset::open`]: any supported form, recognised by its content
//! - [`Stream::batch_at`]: the images shown at a range of positions
//! - [`png`], [`to_u8`]: samples back into files
//!
//! Files here are not trusted: sizes are bounded before memory is, names cannot leave their
//! folder, and every error names the file at fault.

mod bounded;
mod dataset;
mod error;
mod open;

pub mod cifar10;
pub mod edm_zip;
pub mod folder;
pub mod idx;

mod batch;
pub mod order;

pub mod png;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Stream, to_u8};
pub use dataset::{Dataset, Labels};
pub use error::Error;
pub use open::Split;
