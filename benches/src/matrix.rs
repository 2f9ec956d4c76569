//! A product of two square matrices: what this machine's cores can do at best.

use std::hint::black_box;

use candle_core::{Device, Result, Tensor};
use kernels::noise::NoiseStream;

/// Seed and streams of the factors.
const FACTORS: [NoiseStream; 2] = [NoiseStream::new(7, 1), NoiseStream::new(7, 2)];

/// Two factors of standard normal numbers, `[size, size]`.
///
/// # Errors
///
/// If memory is short.
pub fn factors(size: usize) -> Result<[Tensor; 2]> {
    let [a, b] = FACTORS.map(|it| it.normal_tensor(0, (size, size), &Device::Cpu));
    Ok([a?, b?])
}

/// Multiplies them once, by the `gemm` crate under candle.
///
/// # Errors
///
/// If memory is short.
pub fn run([a, b]: &[Tensor; 2]) -> Result<()> {
    black_box(a.matmul(b)?);
    Ok(())
}
