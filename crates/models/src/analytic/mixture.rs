//! Gaussian mixtures: noised, they stay Gaussian mixtures.

use candle_core::{Device, Result, Tensor, bail};

use super::{Density, check_unconditional, flatten};
use crate::denoiser::{Conditioning, Denoiser};

/// The covariance of a component of `N` dimensions.
#[derive(Clone, Debug, PartialEq)]
pub enum Spread {
    /// This variance in every direction.
    Isotropic(f64),
    /// The covariance matrix, row by row: `N²` numbers, symmetric and positive semidefinite.
    Full(Vec<f64>),
}

/// `Σₖ wₖ N(μₖ, Σₖ)` of `N` numbers a sample.
///
/// With `Σₖ = Uₖ diag(λₖ) Uₖᵀ`, the noised law is `Σₖ wₖ N(μₖ, Uₖ diag(λₖ + σ²) Uₖᵀ)`.
#[derive(Clone, Debug)]
pub struct GaussianMixture {
    /// `ln wₖ`: `[K, 1]`.
    log_weights: Tensor,
    /// `[K, 1, N]`.
    means: Tensor,
    /// Columns are eigenvectors: `[K, N, N]`.
    bases: Tensor,
    /// `[K, 1, N]`.
    eigenvalues: Tensor,
}

impl GaussianMixture {
    /// A mixture of components (weight, mean, spread); weights are normalised to sum 1.
    ///
    /// # Errors
    ///
    /// If there is no component, a weight is not positive, sizes differ, or a spread is no
    /// covariance.
    pub fn new(components: &[(f64, Vec<f64>, Spread)]) -> Result<Self> {
        let Some(dim) = components.first().map(|(_, mean, _)| mean.len()) else {
            bail!("a mixture needs a component");
        };
        let total: f64 = components.iter().map(|(weight, ..)| weight).sum();
        let (mut log_weights, mut means) = (Vec::new(), Vec::<f64>::new());
        let (mut bases, mut eigenvalues) = (Vec::new(), Vec::new());
        for (k, (weight, mean, spread)) in components.iter().enumerate() {
            if !(0.0 < *weight && weight.is_finite()) {
                bail!("component {k}: weight {weight} is not positive");
            }
            if mean.len() != dim || dim == 0 {
                bail!("component {k}: the mean has {} numbers, the first has {dim}", mean.len());
            }
            let (basis, values) = match spread {
                Spread::Isotropic(variance) => (identity(dim), vec![*variance; dim]),
                Spread::Full(matrix) if is_symmetric(matrix, dim) => eigen(matrix, dim),
                Spread::Full(_) => bail!("component {k}: no symmetric {dim}×{dim} matrix"),
            };
            let scale = values.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            if !values.iter().all(|&value| -ROUNDING * scale <= value && value.is_finite()) {
                bail!("component {k}: {values:?} are no variances");
            }
            log_weights.push((weight / total).ln());
            means.extend(mean);
            bases.extend(basis);
            eigenvalues.extend(values.into_iter().map(|value| value.max(0.0)));
        }
        let count = components.len();
        Ok(Self {
            log_weights: Tensor::from_vec(log_weights, (count, 1), &Device::Cpu)?,
            means: Tensor::from_vec(means, (count, 1, dim), &Device::Cpu)?,
            bases: Tensor::from_vec(bases, (count, dim, dim), &Device::Cpu)?,
            eigenvalues: Tensor::from_vec(eigenvalues, (count, 1, dim), &Device::Cpu)?,
        })
    }

    /// `∇ₓ ln p_σ(x) = (D(x; σ) − x)/σ²`, the shape of `x`.
    ///
    /// # Errors
    ///
    /// If shapes do not fit the law.
    pub fn score(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        let denoised = self.denoise(x, sigma, &Conditioning::default())?;
        let (gap, sigma) = flatten(&(denoised - x)?, sigma, self.means.dim(2)?)?;
        gap.broadcast_div(&sigma.sqr()?)?.reshape(x.shape())
    }

    fn parts(&self, x: &Tensor, sigma: &Tensor) -> Result<Parts> {
        let (flat, sigma) = flatten(x, sigma, self.means.dim(2)?)?;
        let own = |tensor: &Tensor| tensor.to_dtype(x.dtype())?.to_device(x.device());
        let (means, bases, own_variance) =
            (own(&self.means)?, own(&self.bases)?, own(&self.eigenvalues)?);
        let count = means.dim(0)?;
        let centered = flat.unsqueeze(0)?.broadcast_sub(&means)?.contiguous()?;
        let rotated = centered.matmul(&bases)?;
        let noised = own_variance.broadcast_add(&sigma.sqr()?.unsqueeze(0)?)?;
        let ln_volume = (&noised * std::f64::consts::TAU)?.log()?;
        let ln_component = ((rotated.sqr()? / &noised)? + ln_volume)?.sum(2)? * -0.5;
        let ln_joint = ln_component?.broadcast_add(&own(&self.log_weights)?)?;
        debug_assert_eq!(ln_joint.dims(), [count, flat.dim(0)?]);
        Ok(Parts { means, bases, own_variance, rotated, noised, ln_joint })
    }
}

/// Intermediate tensors, for `K` components and `B` samples.
struct Parts {
    /// `[K, 1, N]`.
    means: Tensor,
    /// `[K, N, N]`.
    bases: Tensor,
    /// `λ`: `[K, 1, N]`.
    own_variance: Tensor,
    /// `Uᵀ (x − μ)`: `[K, B, N]`.
    rotated: Tensor,
    /// `λ + σ²`: `[K, B, N]`.
    noised: Tensor,
    /// `ln(w N(x))`: `[K, B]`.
    ln_joint: Tensor,
}

impl Denoiser for GaussianMixture {
    /// `Σₖ rₖ(x) (μₖ + Uₖ diag(λₖ/(λₖ + σ²)) Uₖᵀ (x − μₖ))`, with `rₖ` the responsibilities.
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        check_unconditional(cond)?;
        let Parts { means, bases, own_variance, rotated, noised, ln_joint } =
            self.parts(x, sigma)?;
        let share = ln_joint.broadcast_sub(&log_sum_exp(&ln_joint)?.unsqueeze(0)?)?.exp()?;
        let kept = (rotated.broadcast_mul(&own_variance)? / noised)?;
        let of_component =
            kept.matmul(&bases.transpose(1, 2)?.contiguous()?)?.broadcast_add(&means)?;
        of_component.broadcast_mul(&share.unsqueeze(2)?)?.sum(0)?.reshape(x.shape())
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

impl Density for GaussianMixture {
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        log_sum_exp(&self.parts(x, sigma)?.ln_joint)
    }
}

/// `ln Σₖ exp(aₖ)` over the first axis.
fn log_sum_exp(a: &Tensor) -> Result<Tensor> {
    // The shift cancels, and so would its gradient.
    let peak = a.max(0)?.detach();
    a.broadcast_sub(&peak.unsqueeze(0)?)?.exp()?.sum(0)?.log()? + peak
}

/// How far rounding may push a zero eigenvalue, or entries that should be equal apart.
const ROUNDING: f64 = 1e-12;

fn is_symmetric(matrix: &[f64], dim: usize) -> bool {
    let equal = |a: f64, b: f64| (a - b).abs() <= ROUNDING * (a.abs() + b.abs());
    let mut pairs = (0..dim).flat_map(|i| (0..i).map(move |j| (i * dim + j, j * dim + i)));
    matrix.len() == dim * dim && pairs.all(|(a, b)| equal(matrix[a], matrix[b]))
}

fn identity(dim: usize) -> Vec<f64> {
    (0..dim * dim).map(|i| f64::from(u8::from(i % (dim + 1) == 0))).collect()
}

/// Eigenvectors (columns) and eigenvalues of a symmetric matrix, by Jacobi's rotations.
fn eigen(matrix: &[f64], dim: usize) -> (Vec<f64>, Vec<f64>) {
    /// Convergence is quadratic: a handful of sweeps reaches rounding.
    const SWEEPS: usize = 30;
    let (mut a, mut basis) = (matrix.to_vec(), identity(dim));
    for _ in 0..SWEEPS {
        for p in 0..dim {
            for q in p + 1..dim {
                let off = a[p * dim + q];
                if off.abs() <= f64::MIN_POSITIVE {
                    continue;
                }
                let angle = 0.5 * (2.0 * off).atan2(a[q * dim + q] - a[p * dim + p]);
                let (sin, cos) = angle.sin_cos();
                for k in 0..dim {
                    rotate(&mut a, [k * dim + p, k * dim + q], [cos, sin]);
                    rotate(&mut basis, [k * dim + p, k * dim + q], [cos, sin]);
                }
                for k in 0..dim {
                    rotate(&mut a, [p * dim + k, q * dim + k], [cos, sin]);
                }
            }
        }
    }
    (basis, (0..dim).map(|i| a[i * dim + i]).collect())
}

fn rotate(a: &mut [f64], [p, q]: [usize; 2], [cos, sin]: [f64; 2]) {
    (a[p], a[q]) = (cos * a[p] - sin * a[q], sin * a[p] + cos * a[q]);
}
