//! Gaussian mixtures under diffusion: densities, scores, denoisers and log-ratios in closed form.
//!
//! With `x₀` from `Σ wₖ N(mₖ, Cₖ)` and `x = x₀ + σ n`, the distribution of `x` is
//! `Σ wₖ N(mₖ, Cₖ + σ² I)`: everything that a network has to learn is known here. Dimensions are
//! small and covariances full; all is `f64`.
//!
//! ```
//! use uni_instruct_divergence::mixture::GaussianMixture;
//!
//! // Weight, mean and variance of each component.
//! let teacher = GaussianMixture::on_line(&[(0.5, -1.0, 0.04), (0.5, 1.0, 0.04)])?;
//! let noised = teacher.at(0.8)?;
//! // Halfway between the modes the denoiser returns their mean.
//! assert!(noised.denoised(&[0.0])[0].abs() < 1e-12);
//! # Ok::<(), uni_instruct_divergence::Error>(())
//! ```

use crate::Error;
use crate::profile::log_sum_exp;

/// A mixture of normal distributions in `d` dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct GaussianMixture {
    components: Vec<Component>,
}

/// A normal distribution of a [`GaussianMixture`].
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// Share of the mixture; all shares sum to 1.
    pub weight: f64,
    /// Mean, `[d]`.
    pub mean: Vec<f64>,
    /// Covariance, `[d, d]`, row by row; symmetric, positive semi-definite.
    pub covariance: Vec<f64>,
}

impl Component {
    /// A component with the same variance in every direction.
    pub fn isotropic(weight: f64, mean: Vec<f64>, variance: f64) -> Self {
        let dim = mean.len();
        let element = |i: usize| if i.is_multiple_of(dim + 1) { variance } else { 0.0 };
        Self { weight, mean, covariance: (0..dim * dim).map(element).collect() }
    }
}

impl GaussianMixture {
    /// The mixture of these components, their weights divided by their sum.
    ///
    /// # Errors
    ///
    /// If there is no component, a value is not finite, a weight is not positive, dimensions differ
    /// or a covariance is not symmetric.
    pub fn new(mut components: Vec<Component>) -> Result<Self, Error> {
        let Some(dim) = components.first().map(|it| it.mean.len()) else {
            return Err(Error::mixture("there must be at least one component"));
        };
        for (k, it) in components.iter().enumerate() {
            let fault = |problem: &str| Err(Error::mixture(format!("component {k}: {problem}")));
            if dim == 0 || it.mean.len() != dim || it.covariance.len() != dim * dim {
                return fault("mean and covariance must be [d] and [d, d] with the same d > 0");
            }
            if !it.mean.iter().chain(&it.covariance).all(|x| x.is_finite()) {
                return fault("mean and covariance must be finite");
            }
            if !(it.weight.is_finite() && 0.0 < it.weight) {
                return fault("its weight must be a positive number");
            }
            let mirrored = |i: usize| it.covariance[i % dim * dim + i / dim];
            let close = |a: f64, b: f64| (a - b).abs() <= ROUNDING * (a.abs() + b.abs());
            if !it.covariance.iter().enumerate().all(|(i, &c)| close(c, mirrored(i))) {
                return fault("its covariance must be symmetric");
            }
        }
        let total: f64 = components.iter().map(|it| it.weight).sum();
        components.iter_mut().for_each(|it| it.weight /= total);
        Ok(Self { components })
    }

    /// A mixture on the line, of `(weight, mean, variance)`.
    ///
    /// # Errors
    ///
    /// As [`GaussianMixture::new`].
    pub fn on_line(components: &[(f64, f64, f64)]) -> Result<Self, Error> {
        let component =
            |&(weight, mean, variance): &_| Component::isotropic(weight, vec![mean], variance);
        Self::new(components.iter().map(component).collect())
    }

    /// The components, with weights of sum 1.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The dimension `d`.
    pub fn dim(&self) -> usize {
        self.components[0].mean.len()
    }

    /// The mean, `[d]`.
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.dim()];
        for it in &self.components {
            mean.iter_mut().zip(&it.mean).for_each(|(sum, m)| *sum += it.weight * m);
        }
        mean
    }

    /// The covariance, `[d, d]` row by row.
    pub fn covariance(&self) -> Vec<f64> {
        let (dim, mean) = (self.dim(), self.mean());
        let mut sum = vec![0.0; dim * dim];
        for it in &self.components {
            for (i, sum) in sum.iter_mut().enumerate() {
                let (a, b) = (i / dim, i % dim);
                let spread = (it.mean[a] - mean[a]) * (it.mean[b] - mean[b]);
                *sum += it.weight * (it.covariance[i] + spread);
            }
        }
        sum
    }

    /// The distribution of `x₀ + σ n`.
    ///
    /// # Errors
    ///
    /// If `sigma` is negative or not finite, or a covariance plus `σ²` is not positive definite.
    pub fn at(&self, sigma: f64) -> Result<NoisedMixture, Error> {
        if !(sigma.is_finite() && 0.0 <= sigma) {
            return Err(Error::mixture(format!("sigma = {sigma} must be finite and not negative")));
        }
        let dim = self.dim();
        let noised = |(k, it): (usize, &Component)| {
            let mut covariance = it.covariance.clone();
            (0..dim).for_each(|i| covariance[i * dim + i] += sigma * sigma);
            let Some(factor) = cholesky(&covariance, dim) else {
                let problem = format!("component {k}: covariance + σ² is not positive definite");
                return Err(Error::mixture(problem));
            };
            let log_det: f64 = (0..dim).map(|i| 2.0 * factor[i * dim + i].ln()).sum();
            let log_two_pi = (2.0 * std::f64::consts::PI).ln();
            Ok(Noised {
                log_scale: it.weight.ln() - 0.5 * (log_det + dim as f64 * log_two_pi),
                mean: it.mean.clone(),
                precision: inverse(&factor, dim),
            })
        };
        let parts = self.components.iter().enumerate().map(noised).collect::<Result<_, _>>()?;
        Ok(NoisedMixture { dim, sigma, parts })
    }
}

/// Relative difference that rounding may leave between elements that should be equal.
const ROUNDING: f64 = 1e-12;

/// A Gaussian mixture with noise added: the distribution at a noise level.
#[derive(Clone, Debug)]
pub struct NoisedMixture {
    dim: usize,
    sigma: f64,
    parts: Vec<Noised>,
}

/// A component with noise added.
#[derive(Clone, Debug)]
struct Noised {
    /// `ln` of the weight times the density's value at the mean.
    log_scale: f64,
    mean: Vec<f64>,
    /// `(C + σ²)⁻¹`, `[d, d]`.
    precision: Vec<f64>,
}

impl NoisedMixture {
    /// `ln p_σ(x)`, and the score `∇ ln p_σ(x)` written to `score`.
    ///
    /// # Panics
    ///
    /// If `x` and `score` are not both of the mixture's dimension.
    pub fn score_into(&self, x: &[f64], score: &mut [f64]) -> f64 {
        assert!(x.len() == self.dim && score.len() == self.dim, "x and score are [{}]", self.dim);
        // One pass over the components, rescaled whenever a larger one is met.
        let (mut largest, mut total) = (f64::NEG_INFINITY, 0.0);
        score.fill(0.0);
        for part in &self.parts {
            let log = part.log_density(x);
            if largest < log {
                let shrink = (largest - log).exp();
                total *= shrink;
                score.iter_mut().for_each(|s| *s *= shrink);
                largest = log;
            }
            let share = (log - largest).exp();
            total += share;
            for (i, s) in score.iter_mut().enumerate() {
                *s -= share * part.pull(x, i);
            }
        }
        score.iter_mut().for_each(|s| *s /= total);
        largest + total.ln()
    }

    /// `ln p_σ(x)`.
    pub fn log_density(&self, x: &[f64]) -> f64 {
        log_sum_exp(self.parts.iter().map(|it| it.log_density(x)))
    }

    /// `∇ ln p_σ(x)`, `[d]`.
    pub fn score(&self, x: &[f64]) -> Vec<f64> {
        let mut score = vec![0.0; self.dim];
        self.score_into(x, &mut score);
        score
    }

    /// The denoiser `E[x₀ | x] = x + σ² ∇ ln p_σ(x)`, `[d]` (Tweedie's formula).
    pub fn denoised(&self, x: &[f64]) -> Vec<f64> {
        let variance = self.sigma * self.sigma;
        x.iter().zip(self.score(x)).map(|(x, s)| x + variance * s).collect()
    }

    /// `l(x) = ln(p_σ(x)/q_σ(x))`, with this distribution as the teacher's.
    pub fn log_ratio(&self, student: &Self, x: &[f64]) -> f64 {
        self.log_density(x) - student.log_density(x)
    }

    /// The dimension `d`.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

impl Noised {
    fn log_density(&self, x: &[f64]) -> f64 {
        let square: f64 = (0..x.len()).map(|i| (x[i] - self.mean[i]) * self.pull(x, i)).sum();
        self.log_scale - 0.5 * square
    }

    /// Element `i` of `(C + σ²)⁻¹ (x - m)`.
    fn pull(&self, x: &[f64], i: usize) -> f64 {
        let row = &self.precision[i * x.len()..][..x.len()];
        row.iter().zip(x).zip(&self.mean).map(|((p, x), m)| p * (x - m)).sum()
    }
}

/// The Cholesky factor `L` of a symmetric positive definite matrix, `L Lᵀ`.
fn cholesky(a: &[f64], dim: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; dim * dim];
    for i in 0..dim {
        for j in 0..=i {
            let done: f64 = (0..j).map(|k| l[i * dim + k] * l[j * dim + k]).sum();
            let rest = a[i * dim + j] - done;
            l[i * dim + j] = if i != j {
                rest / l[j * dim + j]
            } else if 0.0 < rest {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    Some(l)
}

/// `(L Lᵀ)⁻¹` from `L`, column by column.
fn inverse(l: &[f64], dim: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; dim * dim];
    for column in 0..dim {
        let mut y = vec![0.0; dim];
        for i in 0..dim {
            let done: f64 = (0..i).map(|k| l[i * dim + k] * y[k]).sum();
            y[i] = (f64::from(u8::from(i == column)) - done) / l[i * dim + i];
        }
        for i in (0..dim).rev() {
            let done: f64 = (i + 1..dim).map(|k| l[k * dim + i] * inverse[k * dim + column]).sum();
            inverse[i * dim + column] = (y[i] - done) / l[i * dim + i];
        }
    }
    inverse
}
