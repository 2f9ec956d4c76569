//! Gaussian mixtures as denoisers: noised, they stay Gaussian mixtures.

use candle_core::{Device, Result, Tensor, bail};
use divergence::mixture::GaussianMixture;

use super::{Density, check_unconditional, flatten};
use crate::denoiser::{Conditioning, Denoiser};

/// The denoiser and the noised density of a [`GaussianMixture`] `Σₖ wₖ N(μₖ, Σₖ)`, on tensors.
///
/// With `Σₖ = Uₖ diag(λₖ) Uₖᵀ`, the distribution at a noise level is
/// `Σₖ wₖ N(μₖ, Uₖ diag(λₖ + σ²) Uₖᵀ)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use divergence::mixture::GaussianMixture;
/// use uni_instruct_models::analytic::MixtureDenoiser;
/// use uni_instruct_models::{Conditioning, Denoiser};
///
/// let mixture = GaussianMixture::on_line(&[(1.0, 0.5, 1.0)])?;
/// let teacher = MixtureDenoiser::new(mixture)?;
/// let x = Tensor::new(&[[2.5f64]], &Device::Cpu)?;
/// let sigma = Tensor::new(&[1.0f64], &Device::Cpu)?;
/// let x0 = teacher.denoise(&x, &sigma, &Conditioning::default())?;
/// assert_eq!(x0.to_vec2::<f64>()?, [[1.5]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MixtureDenoiser {
    mixture: GaussianMixture,
    /// `ln wₖ`: `[K, 1]`.
    log_weights: Tensor,
    /// `[K, 1, N]`.
    means: Tensor,
    /// Columns are eigenvectors: `[K, N, N]`.
    bases: Tensor,
    /// `[K, 1, N]`.
    eigenvalues: Tensor,
}

impl MixtureDenoiser {
    /// The denoiser of this mixture.
    ///
    /// # Errors
    ///
    /// If a covariance has a negative eigenvalue.
    pub fn new(mixture: GaussianMixture) -> Result<Self> {
        let (count, dim) = (mixture.components().len(), mixture.dim());
        let (mut log_weights, mut means) = (Vec::new(), Vec::<f64>::new());
        let (mut bases, mut eigenvalues) = (Vec::new(), Vec::new());
        for (k, component) in mixture.components().iter().enumerate() {
            let (basis, values) = eigen(&component.covariance, dim);
            let scale = values.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            if !values.iter().all(|&value| -ROUNDING * scale <= value && value.is_finite()) {
                bail!(
                    "component {k}: its covariance has eigenvalues {values:?}, none may be negative"
                );
            }
            log_weights.push(component.weight.ln());
            means.extend(&component.mean);
            bases.extend(basis);
            eigenvalues.extend(values.into_iter().map(|value| value.max(0.0)));
        }
        Ok(Self {
            mixture,
            log_weights: Tensor::from_vec(log_weights, (count, 1), &Device::Cpu)?,
            means: Tensor::from_vec(means, (count, 1, dim), &Device::Cpu)?,
            bases: Tensor::from_vec(bases, (count, dim, dim), &Device::Cpu)?,
            eigenvalues: Tensor::from_vec(eigenvalues, (count, 1, dim), &Device::Cpu)?,
        })
    }

    /// The mixture itself.
    pub fn mixture(&self) -> &GaussianMixture {
        &self.mixture
    }

    /// `∇ₓ ln p_σ(x) = (D(x; σ) − x)/σ²`, the shape of `x`.
    ///
    /// # Errors
    ///
    /// If shapes do not fit the mixture.
    pub fn score(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        let denoised = self.denoise(x, sigma, &Conditioning::default())?;
        let (gap, sigma) = flatten(&(denoised - x)?, sigma, self.mixture.dim())?;
        gap.broadcast_div(&sigma.sqr()?)?.reshape(x.shape())
    }

    fn terms(&self, x: &Tensor, sigma: &Tensor) -> Result<Terms> {
        let (flat, sigma) = flatten(x, sigma, self.mixture.dim())?;
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
        Ok(Terms { means, bases, own_variance, rotated, noised, ln_joint })
    }
}

/// Intermediate tensors, for `K` components and `B` samples.
struct Terms {
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

impl Denoiser for MixtureDenoiser {
    /// `Σₖ rₖ(x) (μₖ + Uₖ diag(λₖ/(λₖ + σ²)) Uₖᵀ (x − μₖ))`, with `rₖ` the responsibilities.
    fn denoise(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        check_unconditional(cond)?;
        let Terms { means, bases, own_variance, rotated, noised, ln_joint } =
            self.terms(x, sigma)?;
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

impl Density for MixtureDenoiser {
    fn log_density(&self, x: &Tensor, sigma: &Tensor) -> Result<Tensor> {
        log_sum_exp(&self.terms(x, sigma)?.ln_joint)
    }
}

/// `ln Σₖ exp(aₖ)` over the first axis.
fn log_sum_exp(a: &Tensor) -> Result<Tensor> {
    // The shift cancels, and so would its gradient.
    let peak = a.max(0)?.detach();
    a.broadcast_sub(&peak.unsqueeze(0)?)?.exp()?.sum(0)?.log()? + peak
}

/// Relative size of a negative eigenvalue that counts as rounding of zero.
const ROUNDING: f64 = 1e-12;

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
