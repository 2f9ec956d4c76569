//! Counter-based noise: every random number of a run is a pure function of its coordinates.
//!
//! # Reasons for a generator without state
//!
//! A run must not depend on the split of its batches, on the number of ranks, on the device, or on
//! interruptions. The generator therefore has no state: a number is a function of the coordinates
//! (seed, stream, position, element), where `position` counts samples since the start of the run
//! and `element` counts numbers within one sample. Resuming a run needs only its position.
//!
//! The underlying bijection is Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
//! easy as 1, 2, 3", SC'11, doi:10.1145/2063384.2063405).

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "metal")]
mod metal;
mod philox;
#[cfg(test)]
mod tests;

use candle_core::{Device, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::gpu::on_gpu;

pub use philox::philox_4x32_10;

/// One stream of random numbers of a run. The same seed and stream always give the same numbers.
///
/// Different streams are independent. Use a separate stream for each purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseStream {
    /// Seed of the run.
    pub seed: u64,
    /// Index of the stream, one per purpose of random numbers in the run.
    pub stream: u32,
}

impl NoiseStream {
    /// Stream `stream` of the run with this seed.
    pub const fn new(seed: u64, stream: u32) -> Self {
        Self { seed, stream }
    }

    /// Four independent uniform 32-bit words at (`position`, `block`).
    pub fn words(&self, position: u64, block: u32) -> [u32; 4] {
        let counter = [block, self.stream, position as u32, (position >> 32) as u32];
        philox_4x32_10(counter, [self.seed as u32, (self.seed >> 32) as u32])
    }

    /// A uniform number in the open interval (0, 1), with 53 random bits.
    pub fn uniform(&self, position: u64, element: u32) -> f64 {
        let words = self.words(position, element / 2);
        let pair = &words[(element % 2) as usize * 2..][..2];
        let bits = (u64::from(pair[0]) << 32 | u64::from(pair[1])) >> 11;
        (bits as f64 + 0.5) * 2f64.powi(-53)
    }

    /// A uniform integer in `0..bound`, by the multiply-shift map (bias below `bound` / 2^64).
    ///
    /// Zero if `bound` is zero.
    pub fn below(&self, position: u64, element: u32, bound: u64) -> u64 {
        let words = self.words(position, element / 2);
        let pair = &words[(element % 2) as usize * 2..][..2];
        let bits = u64::from(pair[0]) << 32 | u64::from(pair[1]);
        ((u128::from(bits) * u128::from(bound)) >> 64) as u64
    }

    /// A standard normal number, by Box and Muller's map of one pair of uniforms.
    pub fn normal(&self, position: u64, element: u32) -> f64 {
        let words = self.words(position, element / 4);
        let pair = (element % 4 / 2) as usize * 2;
        let (cos, sin) = box_muller(words[pair], words[pair + 1]);
        if element.is_multiple_of(2) { cos } else { sin }
    }

    /// Fills `out` with the standard normal values of one position, elements `0..out.len()`.
    pub fn fill_normal(&self, position: u64, out: &mut [f32]) {
        for (block, out) in out.chunks_mut(4).enumerate() {
            let [a, b, c, d] = self.words(position, block as u32);
            let (first, second) = (box_muller(a, b), box_muller(c, d));
            let normals = [first.0, first.1, second.0, second.1];
            for (out, normal) in out.iter_mut().zip(normals) {
                *out = normal as f32;
            }
        }
    }

    /// Standard normal samples `[B, ...]` in f32, where row `i` belongs to position `start + i`.
    ///
    /// A batch is therefore the concatenation of its parts, for any split.
    ///
    /// # Errors
    ///
    /// If a row is beyond the last position, or the device cannot hold the tensor.
    pub fn normal_tensor(
        &self,
        start: u64,
        shape: impl Into<Shape>,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = shape.into();
        on_gpu!(drives(device) => normal(self, start, &shape, device));
        self.tensor(start, shape, device, |stream, position, row| {
            stream.fill_normal(position, row);
        })
    }

    /// Uniform samples in (0, 1), `[B, ...]` in f32, arranged as in [`Self::normal_tensor`].
    ///
    /// # Errors
    ///
    /// If a row is beyond the last position, or the device cannot hold the tensor.
    pub fn uniform_tensor(
        &self,
        start: u64,
        shape: impl Into<Shape>,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = shape.into();
        on_gpu!(drives(device) => uniform(self, start, &shape, device));
        self.tensor(start, shape, device, |stream, position, row| {
            for (block, out) in row.chunks_mut(4).enumerate() {
                for (out, word) in out.iter_mut().zip(stream.words(position, block as u32)) {
                    // 24 bits plus one half: exact in f32, and never 0 or 1.
                    *out = ((word >> 8) as f32 + 0.5) * 2f32.powi(-24);
                }
            }
        })
    }

    fn tensor(
        &self,
        start: u64,
        shape: Shape,
        device: &Device,
        fill: impl Fn(&Self, u64, &mut [f32]) + Sync,
    ) -> Result<Tensor> {
        let rows = shape.dims().first().copied().unwrap_or(1);
        check_positions(start, rows)?;
        let Some(count) = count(&shape) else {
            bail!("noise: shape {:?} is larger than memory", shape.dims())
        };
        let row = count.checked_div(rows).unwrap_or(0);
        let mut numbers = vec![0f32; count];
        if row != 0 {
            numbers
                .par_chunks_mut(row)
                .enumerate()
                .for_each(|(i, out)| fill(self, start + i as u64, out));
        }
        Tensor::from_vec(numbers, shape, device)
    }
}

/// Returns an error if `samples` samples starting at `start` exceed the stream's last position.
pub(super) fn check_positions(start: u64, samples: usize) -> Result<()> {
    if start.checked_add((samples as u64).saturating_sub(1)).is_none() {
        bail!("noise: {samples} samples starting at position {start} exceed the last position");
    }
    Ok(())
}

/// Number of elements of a tensor of this shape; `None` if it exceeds the address space.
fn count(shape: &Shape) -> Option<usize> {
    let count = shape.dims().iter().try_fold(1usize, |count, dim| count.checked_mul(*dim))?;
    let bytes = count.checked_mul(size_of::<f32>())?;
    isize::try_from(bytes).is_ok().then_some(count)
}

/// Two independent standard normals from two uniform words.
fn box_muller(a: u32, b: u32) -> (f64, f64) {
    let radius = (-2.0 * ((f64::from(a) + 0.5) * 2f64.powi(-32)).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * f64::from(b) * 2f64.powi(-32)).sin_cos();
    (radius * cos, radius * sin)
}
