//! EDM diffusion networks, their samplers and their files.
//!
//! A network is a [`NetworkConfig`] (what it is), a [`ParamSet`] (its numbers) and the
//! [`Network`] built from both (what it computes). The same numbers serve several networks at
//! once: a trainable one and any number of frozen views. There is no loss and no optimiser here,
//! and nothing tells a teacher from a student.

pub mod analytic;
pub mod denoiser;
pub mod discriminator;
pub mod edm;
pub mod error;
pub mod export;
pub mod files;
pub mod generator;
pub mod import;
pub mod labels;
mod layout;
pub mod mlp;
pub mod network;
pub mod params;
pub mod sampling;
pub mod tensor_file;
pub mod unet;

pub use denoiser::{Conditioning, Denoiser, LogRatio, level_like};
pub use error::{Error, Result};
pub use kernels::{DropoutKey, backward};
pub use network::{Architecture, Network, NetworkConfig, NetworkFile, Provenance};
pub use params::{ParamSet, Params};
pub use tensor_file::TensorFile;
