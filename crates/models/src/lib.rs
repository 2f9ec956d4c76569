#![doc = include_str!("../README.md")]

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
pub mod path_ratio;
pub mod sampling;
pub mod tensor_file;
pub mod unet;

pub use denoiser::{Conditioning, Denoiser, LogRatio, level_like};
pub use error::{Error, Result};
pub use kernels::{DropoutKey, backward};
pub use network::{Architecture, Network, NetworkConfig, NetworkFile, Provenance, Role};
pub use params::{ParamSet, Params};
pub use tensor_file::TensorFile;
