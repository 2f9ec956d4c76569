//! Embeddings of the noise level: waves of a scalar at a set of frequencies.

use candle_core::{Device, Tensor};

use super::config::Embedding;
use crate::error::Result;
use crate::layout::{Init, Scope};

/// Longest wavelength of the positional embedding, over 2π.
const MAX_POSITIONS: f64 = 10_000.0;
/// Standard deviation of the random frequencies.
const FOURIER_SCALE: f64 = 16.0;

/// Turns `[B]` into `cos` and `sin`, each `[B, K]`.
#[derive(Debug)]
pub(crate) enum Waves {
    /// `cos(νₖ x)`, `sin(νₖ x)` with `νₖ` given.
    Positional(Vec<f64>),
    /// `cos(2π νₖ x)`, `sin(2π νₖ x)` with random `νₖ: [K]`.
    Fourier(Tensor),
}

impl Waves {
    pub fn new(scope: &Scope<'_>, kind: Embedding, count: usize) -> Result<Self> {
        Ok(match kind {
            Embedding::Positional => Self::positional(count, count - 1),
            Embedding::Fourier => {
                let init = Init::Normal(FOURIER_SCALE);
                Self::Fourier(scope.at("map_noise").buffer("freqs", &[count], init)?)
            }
        })
    }

    /// `νₖ = 10000^(−k / steps)`: the last is 1/10000 if `steps` is `count − 1`, as in DDPM++, and
    /// one step before 1/10000 if `steps` is `count`, as in ADM.
    pub fn positional(count: usize, steps: usize) -> Self {
        let exponent = |k| -(k as f64) / steps as f64;
        Self::Positional((0..count).map(|k| MAX_POSITIONS.powf(exponent(k))).collect())
    }

    /// Cosines and sines of `x: [B]`.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<[Tensor; 2]> {
        let freqs = match self {
            Self::Positional(freqs) => Tensor::new(freqs.as_slice(), &Device::Cpu)?,
            Self::Fourier(freqs) => (freqs * std::f64::consts::TAU)?,
        };
        let freqs = freqs.to_dtype(x.dtype())?.to_device(x.device())?.unsqueeze(0)?;
        let phase = x.unsqueeze(1)?.broadcast_mul(&freqs)?;
        Ok([phase.cos()?, phase.sin()?])
    }
}
