//! Divergences, and the two sides of their expansion along the diffusion, by quadrature.

use crate::mixture::{GaussianMixture, NoisedMixture};
use crate::{Divergence, Error};

/// A regular grid over a cube around the origin: the trapezoid rule, which for smooth functions
/// that vanish at the border converges faster than any power of the spacing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Half of the cube's edge.
    pub half_width: f64,
    /// Points along an edge, at least 2.
    pub points: usize,
}

impl Grid {
    /// The integrals of `count` functions over the cube in `dim` dimensions: at each point, `f`
    /// adds their values to the sums that it is given.
    pub fn integrate(
        &self,
        dim: usize,
        count: usize,
        mut f: impl FnMut(&[f64], &mut [f64]),
    ) -> Vec<f64> {
        let spacing = 2.0 * self.half_width / (self.points as f64 - 1.0);
        let mut sums = vec![0.0; count];
        let mut index = vec![0; dim];
        let mut x = vec![-self.half_width; dim];
        loop {
            f(&x, &mut sums);
            // The next point, the last coordinate running fastest.
            let Some(axis) = (0..dim).rev().find(|&axis| index[axis] + 1 < self.points) else {
                break;
            };
            index[axis] += 1;
            index[axis + 1..].fill(0);
            for (x, &i) in x.iter_mut().zip(&index).skip(axis) {
                *x = -self.half_width + spacing * i as f64;
            }
        }
        let volume = spacing.powi(dim as i32);
        sums.iter().map(|sum| sum * volume).collect()
    }
}

/// Nodes and weights of Gauss and Legendre's rule with `count` points on `[low, high]`, exact for
/// polynomials up to degree `2 count - 1`.
pub fn gauss_legendre(count: usize, low: f64, high: f64) -> Vec<(f64, f64)> {
    let n = count as f64;
    let node = |i: usize| {
        // Newton's method from Tricomi's estimate of the root.
        let mut x = (std::f64::consts::PI * (i as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 0.0;
        for _ in 0..NEWTON_STEPS {
            let (mut before, mut value) = (0.0, 1.0);
            for k in 0..count {
                let k = k as f64;
                (before, value) = (value, ((2.0 * k + 1.0) * x * value - k * before) / (k + 1.0));
            }
            slope = n * (x * value - before) / (x * x - 1.0);
            x -= value / slope;
        }
        let weight = 2.0 / ((1.0 - x * x) * slope * slope);
        (0.5 * (low + high) - 0.5 * (high - low) * x, 0.5 * (high - low) * weight)
    };
    (0..count).map(node).collect()
}

/// Quadratic convergence from an estimate good to 1e-3 ends after four; two to be safe.
const NEWTON_STEPS: usize = 6;

/// `D_f(q_σ‖p_σ)` of each divergence.
///
/// # Errors
///
/// If the two mixtures differ in dimension or have no density at σ.
pub fn divergences(
    family: &[Divergence],
    teacher: &GaussianMixture,
    student: &GaussianMixture,
    sigma: f64,
    grid: &Grid,
) -> Result<Vec<f64>, Error> {
    let (p, q) = noised(teacher, student, sigma)?;
    Ok(grid.integrate(p.dim(), family.len(), |x, sums| {
        let (log_p, log_q) = (p.log_density(x), q.log_density(x));
        if log_p.min(log_q) < SMALLEST_LOG_DENSITY {
            return;
        }
        let (density_p, density_q) = (log_p.exp(), log_q.exp());
        for (sum, divergence) in sums.iter_mut().zip(family) {
            // p f(q/p) = q F(p/q): whichever ratio is below 1.
            *sum += if log_q <= log_p {
                density_p * divergence.f((log_q - log_p).exp())
            } else {
                density_q * divergence.dual_f((log_p - log_q).exp())
            };
        }
    }))
}

/// `E_q[h(l) |δ|²]` at σ, of each divergence: the objective whose gradient the surrogate has.
///
/// # Errors
///
/// If the two mixtures differ in dimension or have no density at σ.
pub fn fisher_divergences(
    family: &[Divergence],
    teacher: &GaussianMixture,
    student: &GaussianMixture,
    sigma: f64,
    grid: &Grid,
) -> Result<Vec<f64>, Error> {
    let (p, q) = noised(teacher, student, sigma)?;
    let profiles: Vec<_> = family.iter().map(Divergence::profile).collect();
    let (mut score_p, mut score_q) = (vec![0.0; p.dim()], vec![0.0; p.dim()]);
    Ok(grid.integrate(p.dim(), family.len(), |x, sums| {
        let log_p = p.score_into(x, &mut score_p);
        let log_q = q.score_into(x, &mut score_q);
        let gap: f64 = score_q.iter().zip(&score_p).map(|(q, p)| (q - p) * (q - p)).sum();
        for (sum, profile) in sums.iter_mut().zip(&profiles) {
            *sum += (log_q + profile.log_eval(log_p - log_q)).exp() * gap;
        }
    }))
}

/// `D_f(q_S‖p_S) + ∫₀ˢ σ E_q[h |δ|²] dσ` of each divergence, which is `D_f(q₀‖p₀)`
/// (Uni-Instruct, arXiv:2505.20755, Theorem 3.1). The outer integral takes `levels` points.
///
/// # Errors
///
/// If the two mixtures differ in dimension or have no density.
pub fn expansions(
    family: &[Divergence],
    teacher: &GaussianMixture,
    student: &GaussianMixture,
    sigma_max: f64,
    levels: usize,
    grid: &Grid,
) -> Result<Vec<f64>, Error> {
    let mut sums = divergences(family, teacher, student, sigma_max, grid)?;
    for (sigma, weight) in gauss_legendre(levels, 0.0, sigma_max) {
        let terms = fisher_divergences(family, teacher, student, sigma, grid)?;
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += weight * sigma * term);
    }
    Ok(sums)
}

/// Points with a density below `e^-300` are skipped: their ratio is rounding, their share nothing.
const SMALLEST_LOG_DENSITY: f64 = -300.0;

fn noised(
    teacher: &GaussianMixture,
    student: &GaussianMixture,
    sigma: f64,
) -> Result<(NoisedMixture, NoisedMixture), Error> {
    if teacher.dim() == student.dim() {
        Ok((teacher.at(sigma)?, student.at(sigma)?))
    } else {
        Err(Error::mixture(format!(
            "the teacher has {} dimensions, the student {}",
            teacher.dim(),
            student.dim()
        )))
    }
}
