//! EDM diffusion networks and the kernels under them.

pub mod denoiser;
pub mod ops;

pub use denoiser::{Conditioning, Denoiser, DropoutKey, LogRatio};
