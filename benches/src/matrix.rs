//! Product of two square matrices: the peak of this machine's cores.

use std::hint::black_box;

use candle_core::{Device, Result, Tensor};
use kernels::noise::NoiseStream;

/// Seed and streams of the factors.
const FACTORS: [NoiseStream; 2] = [NoiseStream::new(7, 1), NoiseStream::new(7, 2)];

/// Makes two factors of standard normal values, `[size, size]`.
///
/// # Errors
///
/// If a tensor operation fails.
pub fn factors(size: usize) -> Result<[Tensor; 2]> {
    let [a, b] = FACTORS.map(|it| it.normal_tensor(0, (size, size), &Device::Cpu));
    Ok([a?, b?])
}

/// Multiplies the factors once, by candle's `gemm` crate.
///
/// # Errors
///
/// If a tensor operation fails.
pub fn run([a, b]: &[Tensor; 2]) -> Result<()> {
    black_box(a.matmul(b)?);
    Ok(())
}
