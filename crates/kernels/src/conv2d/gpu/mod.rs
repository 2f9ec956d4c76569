//! Convolution on GPUs: the host side of `conv2d.cu` and `conv2d.metal`.

#[cfg(feature = "cuda")]
mod columns;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
#[cfg(feature = "cuda")]
mod launch;
#[cfg(feature = "metal")]
pub(super) mod metal;
