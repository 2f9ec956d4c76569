//! Vector kernels for x86-64: AVX2 with FMA, and AVX-512.

mod avx2;
mod avx512;
pub(super) mod direct;
pub(crate) mod run;
pub(crate) mod sums;
pub(crate) mod vector;
pub(super) mod weight_grad;
pub(crate) mod winograd;
