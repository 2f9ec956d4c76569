//! Images in, batches out: a pure function of seed and position.
//!
//! # Why no loader
//!
//! A loader with workers, queues and its own random state has to be checkpointed, and shows other
//! images when the batch is split differently. Here a data set is bytes in memory, its order is a
//! keyed permutation that is evaluated at a position ([`order`]), and its augmentation reads its
//! random numbers at the same position ([`augment`]). A resumed run asks for the next position.
//!
//! # Map
//!
//! - [`Dataset::open`]: any supported form, recognised by its content
//! - [`Stream::batch_at`]: the images shown at a range of positions
//! - [`AugmentPipe`]: EDM's augmentation, with the labels that tell the network of it
//! - [`fetch()`]: published data sets by name, with their hashes
//! - [`png`], [`to_u8`]: samples back into files
//!
//! Files here are not trusted: sizes are bounded before memory is, names cannot leave their
//! folder, and every error names the file at fault.

mod bounded;
mod dataset;
mod error;
mod fit;
mod open;

pub mod cifar10;
pub mod edm_zip;
pub mod folder;
pub mod idx;

pub mod augment;
mod batch;
pub mod order;

pub mod fetch;
pub mod png;

#[cfg(test)]
mod tests;

pub use augment::AugmentPipe;
pub use batch::{Batch, Stream, to_u8};
pub use dataset::{Dataset, Labels};
pub use error::Error;
pub use fetch::fetch;
pub use open::Split;
