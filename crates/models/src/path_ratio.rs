//! The log-ratio of two distributions from their denoisers alone: no discriminator, no data.
//!
//! For the denoisers `D_p` and `D_q` of teacher and student, with `Δ = D_q − D_p`,
//!
//! ```text
//! ln(p_σ(x)/q_σ(x)) = ∫_σ^S s⁻³ E_n[ Δ·(D_q + D_p − 2 x_s + 2 (s²/τ) n) ] ds + E[l(x_S, S)]
//! x_s = x + τ n,   τ² = s² − σ²,   denoisers at (x_s, s)
//! ```
//!
//! (docs/theory.md, "The log-ratio from two denoisers"). The estimate samples `ln τ` in strata, with
//! one draw of noise in each, and drops the last term: at `S` far above the data both distributions
//! are the same normal distribution.

use candle_core::{Result, Tensor, bail};
use divergence::CalibrationFeatures;
use kernels::{from_host, noise::NoiseStream, per_sample, to_host};

use crate::denoiser::{Conditioning, Denoiser, LogRatio};

/// Stream of the noise along the path. See [`kernels::noise`].
pub const PATH_NOISE_STREAM: u32 = 23;
/// Stream of the noise levels along the path.
pub const PATH_LEVEL_STREAM: u32 = 24;

/// Smallest `τ`, relative to `σ`. The integral below it is of the order of `τ²/σ²`.
const SMALLEST_TAU: f64 = 0.03;
/// Smallest `σ` that [`SMALLEST_TAU`] is relative to. Denoisers agree at lower noise levels.
const SMALLEST_SIGMA: f64 = 0.03;

/// Settings of a [`PathRatio`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathSettings {
    /// Strata of `ln τ`. Each costs one evaluation of both denoisers, or two with `antithetic`.
    pub strata: usize,
    /// Evaluates each stratum at `x + τ n` and `x − τ n`. The term `n·Δ`, whose size is otherwise
    /// `1/τ`, then has a bounded variance.
    pub antithetic: bool,
    /// Largest noise level `S` of the path.
    pub sigma_max: f64,
}

impl Default for PathSettings {
    /// Eight antithetic strata up to EDM's largest noise level, 80.
    fn default() -> Self {
        Self { strata: 8, antithetic: true, sigma_max: 80.0 }
    }
}

/// An estimate of `ln(p_σ(x)/q_σ(x))` from two denoisers, as a [`LogRatio`].
///
/// The estimate of `l` is unbiased for exact denoisers, up to the truncation at
/// [`PathSettings::sigma_max`] and at small `τ`; `eˡ` is biased upward by the variance of the estimate.
/// It is not differentiable: its result has no gradient.
///
/// Random numbers are a pure function of `seed` and `position`, so a run that resumes repeats them.
#[derive(Clone, Copy)]
pub struct PathRatio<'a> {
    /// Denoiser of the numerator, `D_p`.
    pub teacher: &'a dyn Denoiser,
    /// Denoiser of the denominator, `D_q`.
    pub student: &'a dyn Denoiser,
    /// Settings.
    pub settings: PathSettings,
    /// Seed of the noise.
    pub seed: u64,
    /// Position of the first sample in the streams of the noise.
    pub position: u64,
}

impl LogRatio for PathRatio<'_> {
    fn log_ratio(&self, x: &Tensor, sigma: &Tensor, cond: &Conditioning) -> Result<Tensor> {
        let PathSettings { strata, antithetic, sigma_max } = self.settings;
        let levels = to_host(sigma)?;
        if strata == 0 || x.dims().first() != Some(&levels.len()) {
            bail!(
                "path ratio: x is {:?} and sigma {:?} with {strata} strata; expected [B, ...], [B] \
                 and at least one stratum",
                x.shape(),
                sigma.shape()
            );
        }
        let x = x.detach();
        let signs: &[f64] = if antithetic { &[1.0, -1.0] } else { &[1.0] };
        let mut sums = vec![0.0; levels.len()];
        for stratum in 0..strata {
            let points: Vec<Point> = levels
                .iter()
                .enumerate()
                .map(|(row, &sigma)| {
                    let position = self.position + row as u64;
                    let jitter = NoiseStream::new(self.seed, PATH_LEVEL_STREAM)
                        .uniform(position, stratum as u32);
                    Point::at(sigma, sigma_max, (stratum as f64 + jitter) / strata as f64)
                })
                .collect();
            let noise = self.noise(stratum, &x)?;
            for sign in signs {
                let found = self.integrand(&x, &(&noise * *sign)?, &points, cond)?;
                for (sum, term) in sums.iter_mut().zip(found) {
                    *sum += term / (strata * signs.len()) as f64;
                }
            }
        }
        from_host(&sums, &x)
    }
}

impl PathRatio<'_> {
    /// Standard normal noise of a stratum, the shape of `x`.
    fn noise(&self, stratum: usize, x: &Tensor) -> Result<Tensor> {
        // Each stratum has its own seed, because a stream has one normal tensor for each position.
        let seed = NoiseStream::new(self.seed, PATH_NOISE_STREAM).below(
            u64::MAX,
            stratum as u32,
            u64::MAX,
        );
        let stream = NoiseStream::new(seed, PATH_NOISE_STREAM);
        stream.normal_tensor(self.position, x.dims(), x.device())?.to_dtype(x.dtype())
    }

    /// The integrand with respect to the share of `ln τ`'s range, at one draw of the noise, for each
    /// sample.
    fn integrand(
        &self,
        x: &Tensor,
        noise: &Tensor,
        points: &[Point],
        cond: &Conditioning,
    ) -> Result<Vec<f64>> {
        let column =
            |value: fn(&Point) -> f64| from_host(&points.iter().map(value).collect::<Vec<_>>(), x);
        let noised = (x + noise.broadcast_mul(&per_sample(&column(|it| it.tau)?, x.rank())?)?)?;
        let sigma = column(|it| it.sigma)?;
        let teacher = self.teacher.denoise(&noised, &sigma, cond)?.detach();
        let student = self.student.denoise(&noised, &sigma, cond)?.detach();
        let gap = (&student - &teacher)?;
        let drift = row_dot(&gap, &((student + teacher)? - (noised * 2.0)?)?)?;
        let divergence = row_dot(&gap, noise)?;
        let terms = points.iter().zip(drift).zip(divergence);
        Ok(terms
            .map(|((point, drift), divergence)| {
                let Point { tau, sigma, width } = *point;
                let variance = sigma * sigma;
                // ds = τ²/s d ln τ.
                let density = drift / variance + 2.0 * divergence / tau;
                if width == 0.0 { 0.0 } else { density * tau * tau / variance * width }
            })
            .collect())
    }
}

/// A point of the path of one sample.
#[derive(Clone, Copy)]
struct Point {
    /// Standard deviation `τ` of the added noise.
    tau: f64,
    /// Noise level `s` there.
    sigma: f64,
    /// Width of the range of `ln τ`; 0 if the path of the sample is empty.
    width: f64,
}

impl Point {
    /// The point at this share of the range of `ln τ` above `sigma`.
    fn at(sigma: f64, sigma_max: f64, share: f64) -> Self {
        let low = SMALLEST_TAU * sigma.max(SMALLEST_SIGMA);
        let high = (sigma_max * sigma_max - sigma * sigma).max(0.0).sqrt();
        let width = if low < high { (high / low).ln() } else { 0.0 };
        let tau = low * (share * width).exp();
        Self { tau, sigma: tau.hypot(sigma), width }
    }
}

/// Features of each sample for [`divergence::Calibration`]: `(1, -Δ·(x - (D_p + D_q)/2)/σ², |Δ|²/σ², l)`.
///
/// Of the second, `l` is the value that the two posterior means alone suggest: it is exact for two normal
/// distributions of equal covariance.
///
/// # Shapes
///
/// - `x` and the two denoised images `[D_p, D_q]` at it: `[B, ...]`
/// - `sigma` and the path integrals `path`: `[B]`
///
/// # Errors
///
/// If the shapes disagree.
pub fn calibration_features(
    x: &Tensor,
    sigma: &Tensor,
    [teacher, student]: [&Tensor; 2],
    path: &Tensor,
) -> Result<Vec<CalibrationFeatures>> {
    let (x, teacher, student) = (x.detach(), teacher.detach(), student.detach());
    let gap = (&student - &teacher)?;
    let middle = ((teacher + student)? * 0.5)?;
    let first = row_dot(&gap, &(x - middle)?)?;
    let second = row_dot(&gap, &gap)?;
    let rows = to_host(sigma)?.into_iter().zip(first).zip(second).zip(to_host(path)?);
    Ok(rows
        .map(|(((sigma, first), second), path)| {
            let variance = sigma * sigma;
            [1.0, -first / variance, second / variance, path]
        })
        .collect())
}

/// `Σ a b` of each sample.
fn row_dot(a: &Tensor, b: &Tensor) -> Result<Vec<f64>> {
    to_host(&(a * b)?.flatten_from(1)?.sum(1)?)
}

#[cfg(test)]
mod tests;
