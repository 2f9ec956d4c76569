//! The simplest generator, `x₀ = μ + s z`, and the denoiser of its samples.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor};

use super::{Density, check_unconditional, flatten};
use crate::denoiser::{Conditioning, Denoiser};
use crate::error;
use crate::params::{ParamSet, Params};

/// `x₀ = μ + s z` in each dimension, called like a network at `(σ_init z, σ_init)`.
#[derive(Clone, Debug)]
pub struct AffineGenerator {
    mu: Tensor,
    s: Tensor,
}

impl AffineGenerator {
    /// Trainable `mu: [N]` and `s: [N]` with these values, in f32 or f64.
    ///
    /// # Errors
    ///
    /// If `dtype` is not a floating-point type.
    pub fn init(mu: &[f64], s: &[f64], dtype: DType) -> error::Result<ParamSet> {
        let tensor = |values: &[f64]| Tensor::new(values, &Device::Cpu)?.to_dtype(dtype);
        let tensors = [("mu", tensor(mu)?), ("s", tensor(s)?)];
        let named = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
        ParamSet::from_tensors(&BTreeMap::from(named))
    }

    /// The generator over these tensors, of `dim` elements per sample.
    ///
    /// # Errors
    ///
    /// Naming a tensor that is missing or of another shape.
    pub fn build(params: &Params, dim: usize) -> error::Result<Self> {
        Ok(Self { mu: params.get("mu", dim)?, s: params.get("s", dim)? })
    }
}

impl Denoiser for AffineGenerator {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        check_unconditional(cond)?;
        let (flat, sigma) = flatten(x, sigma, self.mu.dim(0)?)?;
        let [mu, s] = [&self.mu, &self.s].map(|it| it.to_dtype(x.dtype())?.unsqueeze(0));
        let z = flat.broadcast_div(&sigma)?;
        z.broadcast_mul(&s?)?.broadcast_add(&mu?)?.reshape(x.shape())
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

/// The denoiser and the noised density of an [`AffineGenerator`]'s samples, which are normal with
/// mean `μ` and standard deviation `|s|` in each dimension.
///
/// Built from frozen tensors it follows the generator without training: the ideal fake score.
#[derive(Clone, Debug)]
pub struct AffineDenoiser(AffineGenerator);

impl AffineDenoiser {
    /// The denoiser over these tensors, of `dim` elements per sample.
    ///
    /// # Errors
    ///
    /// Naming a tensor that is missing or of another shape.
    pub fn build(params: &Params, dim: usize) -> error::Result<Self> {
        AffineGenerator::build(params, dim).map(Self)
    }

    /// `x − μ`, `s²` and `s² + σ²`, each `[B, N]` or `[1, N]`.
    fn parts(&self, x: &Tensor, sigma: &Tensor) -> Result<[Tensor; 3]> {
        let AffineGenerator { mu, s } = &self.0;
        let (flat, sigma) = flatten(x, sigma, mu.dim(0)?)?;
        let [mu, s] = [mu, s].map(|it| it.to_dtype(x.dtype())?.unsqueeze(0));
        let own = s?.sqr()?;
        let noised = own.broadcast_add(&sigma.sqr()?)?;
        Ok([flat.broadcast_sub(&mu?)?, own, noised])
    }
}

impl Denoiser for AffineDenoiser {
    /// `x − σ²/(s² + σ²) (x − μ)`.
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        check_unconditional(cond)?;
        let [centered, own, noised] = self.parts(x, sigma)?;
        let lost = ((noised.broadcast_sub(&own)? / noised)? * centered)?;
        x - lost.reshape(x.shape())?
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

impl Density for AffineDenoiser {
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        let [centered, _, noised] = self.parts(x, sigma)?;
        let ln_volume = (&noised * std::f64::consts::TAU)?.log()?;
        ((centered.sqr()? / noised)? + ln_volume)?.sum(1)? * -0.5
    }
}
