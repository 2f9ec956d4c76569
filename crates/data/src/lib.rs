#![doc = include_str!("../README.md")]

mod archive;
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
mod byte;
pub mod order;

#[cfg(feature = "fetch")]
pub mod fetch;
pub mod png;

#[cfg(test)]
mod tests;

pub use augment::AugmentPipe;
pub use batch::{Batch, Stream};
pub use byte::{round_to_bytes, to_u8};
pub use dataset::{Dataset, Labels};
pub use error::Error;
#[cfg(feature = "fetch")]
pub use fetch::fetch;
pub use open::Split;
