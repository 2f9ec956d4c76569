//! Distributions whose noised densities are known in closed form, behind the traits of the networks.
//!
//! Tests run the real training step on them and compare with theory; the quickstart uses a mixture as
//! its teacher. Samples are `[B, ...]` with `N` elements each, in f32 or f64, and everything is
//! differentiable in them.

mod affine;
mod mixture;
#[cfg(test)]
mod tests;

pub use affine::{AffineDenoiser, AffineGenerator};
pub use mixture::MixtureDenoiser;

use candle_core::{Result, Tensor, bail};

use crate::denoiser::{Conditioning, LogRatio};

/// A distribution whose noised density is known.
pub trait Density {
    /// `ln p_σ(x)`, the density of `x = x₀ + σ n`: `[B]`.
    ///
    /// # Shapes
    ///
    /// - `x`: `[B, ...]` with `N` elements per sample; `sigma`: `[B]`
    ///
    /// # Errors
    ///
    /// If shapes do not fit the distribution.
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor>;
}

impl<D: Density + ?Sized> Density for &D {
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        (**self).log_density(x, sigma)
    }
}

impl<D: Density + ?Sized> Density for Box<D> {
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        (**self).log_density(x, sigma)
    }
}

/// The log-ratio of two known distributions, which it owns or borrows.
#[derive(Clone, Copy, Debug)]
pub struct DensityRatio<T, S> {
    /// Numerator.
    pub teacher: T,
    /// Denominator.
    pub student: S,
}

impl<T: Density, S: Density> LogRatio for DensityRatio<T, S> {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        check_unconditional(cond)?;
        self.teacher.log_density(x, sigma)? - self.student.log_density(x, sigma)?
    }
}

fn check_unconditional(cond: &Conditioning) -> Result<()> {
    match &cond.labels {
        Some(labels) => bail!(
            "labels {:?} given to an unconditional distribution; leave them out",
            labels.shape()
        ),
        None => Ok(()),
    }
}

/// `x` as `[B, N]` and `sigma` as `[B, 1]` of the same type.
fn flatten(x: &Tensor, sigma: &Tensor, dim: usize) -> Result<(Tensor, Tensor)> {
    let flat = x.flatten_from(1)?;
    let (batch, found) = flat.dims2()?;
    if found != dim || sigma.dims() != [batch] {
        bail!(
            "x is {:?} and sigma {:?}; expected [B, ...] with {dim} elements per sample, and [B]",
            x.shape(),
            sigma.shape()
        );
    }
    Ok((flat, sigma.to_dtype(x.dtype())?.unsqueeze(1)?))
}
