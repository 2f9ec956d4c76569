//! Laws whose noised densities are known in closed form, behind the traits of the networks.
//!
//! Tests run the real training step on them and compare with theory; the quickstart uses one as
//! its teacher. Samples are `[B, ...]` with `N` numbers each, in f32 or f64, and everything is
//! differentiable in them.

mod affine;
mod mixture;
#[cfg(test)]
mod tests;

pub use affine::{AffineGenerator, AffineLaw};
pub use mixture::{GaussianMixture, Spread};

use candle_core::{Result, Tensor, bail};

use crate::denoiser::{Conditioning, LogRatio};

/// A law whose noised density is known.
pub trait Density {
    /// `ln p_σ(x)`, the density of `x = x₀ + σ n`: `[B]`.
    ///
    /// # Shapes
    ///
    /// - `x`: `[B, ...]` with `N` numbers a sample; `sigma`: `[B]`
    ///
    /// # Errors
    ///
    /// If shapes do not fit the law.
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor>;
}

impl<D: Density + ?Sized> Density for &D {
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        (**self).log_density(x, sigma)
    }
}

/// Log-ratio of two known densities, teacher over student. It owns them, or borrows them as `&D`.
pub struct DensityRatio<P, Q> {
    /// Density of the teacher.
    pub teacher: P,
    /// Density of the student.
    pub student: Q,
}

impl<P: Density, Q: Density> LogRatio for DensityRatio<P, Q> {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        check_unconditional(cond)?;
        self.teacher.log_density(x, sigma)? - self.student.log_density(x, sigma)?
    }
}

fn check_unconditional(cond: &Conditioning) -> Result<()> {
    match &cond.labels {
        Some(labels) => bail!("labels {:?} given to an unconditional law", labels.shape()),
        None => Ok(()),
    }
}

/// `x` as `[B, N]` and `sigma` as `[B, 1]` of the same type.
fn flatten(x: &Tensor, sigma: &Tensor, dim: usize) -> Result<(Tensor, Tensor)> {
    let flat = x.flatten_from(1)?;
    let (batch, found) = flat.dims2()?;
    if found != dim || sigma.dims() != [batch] {
        bail!(
            "x is {:?} and sigma {:?}: this law takes [B, ...] with {dim} numbers a sample and [B]",
            x.shape(),
            sigma.shape()
        );
    }
    Ok((flat, sigma.to_dtype(x.dtype())?.unsqueeze(1)?))
}
