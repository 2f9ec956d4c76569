//! Preconditionings: how a raw network becomes a denoiser.
//!
//! ```text
//! D(x; σ) = c_skip(σ) x + c_out(σ) F(c_in(σ) x; c_noise(σ))
//! ```
//!
//! (Karras et al. 2022, arXiv:2206.00364, Eq. 7 and Table 1.)

use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};

/// Kind of preconditioning, with its constants.
///
/// Variants without constants have braces too, because serde rejects unknown keys only there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Precond {
    /// EDM's own: unit variance in, unit variance out.
    Edm {},
    /// Variance preserving, `σ(t) = √(exp(β_d t²/2 + β_min t) − 1)` (Song et al. 2021).
    Vp {
        /// Range of the noise schedule.
        #[serde(default = "Precond::default_beta_d")]
        beta_d: f64,
        /// Least value of the noise schedule.
        #[serde(default = "Precond::default_beta_min")]
        beta_min: f64,
        /// Steps of the schedule that the network was trained on.
        #[serde(default = "Precond::default_steps")]
        steps: u32,
    },
    /// Variance exploding (Song et al. 2021).
    Ve {},
    /// Improved DDPM on a table of levels (Nichol & Dhariwal 2021, arXiv:2102.09672). The network
    /// has twice the channels: the second half, a variance, is not used.
    Iddpm {
        /// Least quotient of successive squared signal levels.
        #[serde(default = "Precond::default_c1")]
        c1: f64,
        /// Offset of the cosine schedule.
        #[serde(default = "Precond::default_c2")]
        c2: f64,
        /// Levels of the table, less one.
        #[serde(default = "Precond::default_steps")]
        steps: u32,
    },
}

impl Default for Precond {
    fn default() -> Self {
        Self::Edm {}
    }
}

impl Precond {
    /// Time at which the VP schedule is cut off.
    const VP_EPSILON: f64 = 1e-5;

    /// VP with EDM's constants.
    pub fn vp() -> Self {
        let (beta_d, beta_min) = (Self::default_beta_d(), Self::default_beta_min());
        Self::Vp { beta_d, beta_min, steps: Self::default_steps() }
    }

    /// iDDPM with EDM's constants.
    pub fn iddpm() -> Self {
        let (c1, c2) = (Self::default_c1(), Self::default_c2());
        Self::Iddpm { c1, c2, steps: Self::default_steps() }
    }

    fn default_beta_d() -> f64 {
        19.9
    }

    fn default_beta_min() -> f64 {
        0.1
    }

    fn default_c1() -> f64 {
        0.001
    }

    fn default_c2() -> f64 {
        0.008
    }

    fn default_steps() -> u32 {
        1000
    }

    /// Channels of the network's output for images of `channels`.
    pub fn out_channels(self, channels: usize) -> usize {
        match self {
            Self::Iddpm { .. } => 2 * channels,
            _ => channels,
        }
    }

    /// Least and greatest σ that EDM allows for such a network.
    pub fn sigma_range(self) -> [f64; 2] {
        match self {
            Self::Edm {} => [0.0, f64::INFINITY],
            Self::Vp { beta_d, beta_min, .. } => [Self::VP_EPSILON, 1.0]
                .map(|t| (0.5 * beta_d * t * t + beta_min * t).exp_m1().sqrt()),
            Self::Ve {} => [0.02, 100.0],
            Self::Iddpm { .. } => {
                let table = self.table();
                [table[table.len() - 2], table[0]]
            }
        }
    }

    /// iDDPM's table of levels `u_j`, greatest first, down to `u_M = 0`; else empty.
    ///
    /// ```text
    /// u_{j−1} = √((u_j² + 1) / max(ᾱ_{j−1}/ᾱ_j, C₁) − 1),    ᾱ_j = sin²(π/2 · j / (M (C₂ + 1)))
    /// ```
    pub fn table(self) -> Vec<f64> {
        let Self::Iddpm { c1, c2, steps } = self else { return Vec::new() };
        let phase = |j: u32| f64::from(j) / f64::from(steps) / (c2 + 1.0);
        let alpha_bar = |j| (std::f64::consts::FRAC_PI_2 * phase(j)).sin().powi(2);
        let mut table = vec![0.0; steps as usize + 1];
        for j in (1..=steps).rev() {
            let quotient = (alpha_bar(j - 1) / alpha_bar(j)).max(c1);
            let u: f64 = table[j as usize];
            table[j as usize - 1] = ((u * u + 1.0) / quotient - 1.0).sqrt();
        }
        table
    }
}

/// The preconditioning of one network, ready to be applied.
#[derive(Clone, Debug)]
pub struct Preconditioner {
    kind: Precond,
    sigma_data: f64,
    /// See [`Precond::table`].
    table: Vec<f64>,
}

/// The four coefficients at the levels of a batch, each `[B]`.
#[derive(Clone, Debug)]
pub struct Coefficients {
    /// Factor on `x` in the output.
    pub c_skip: Tensor,
    /// Factor on the raw output.
    pub c_out: Tensor,
    /// Factor on `x` at the network's input.
    pub c_in: Tensor,
    /// The network's noise level.
    pub c_noise: Tensor,
}

impl Preconditioner {
    /// Preconditioning of this kind, for data of standard deviation `sigma_data` (read by EDM's only).
    pub fn new(kind: Precond, sigma_data: f64) -> Self {
        Self { kind, sigma_data, table: kind.table() }
    }

    /// The coefficients at `sigma: [B]`.
    ///
    /// # Errors
    ///
    /// If the device fails.
    pub fn coefficients(&self, sigma: &Tensor) -> Result<Coefficients> {
        let rsqrt = |shift: f64| (sigma.sqr()? + shift)?.sqrt()?.recip();
        match self.kind {
            Precond::Edm {} => {
                let variance = self.sigma_data * self.sigma_data;
                let c_in = rsqrt(variance)?;
                Ok(Coefficients {
                    c_skip: (c_in.sqr()? * variance)?,
                    c_out: ((sigma * &c_in)? * self.sigma_data)?,
                    c_in,
                    c_noise: (sigma.log()? * 0.25)?,
                })
            }
            Precond::Vp { beta_d, beta_min, steps } => {
                // σ⁻¹(σ) = (√(β_min² + 2 β_d ln(1 + σ²)) − β_min) / β_d
                let log = (sigma.sqr()? + 1.0)?.log()?;
                let root = ((log * (2.0 * beta_d))? + beta_min * beta_min)?.sqrt()?;
                let time = ((root - beta_min)? / beta_d)?;
                Ok(Coefficients {
                    c_skip: sigma.ones_like()?,
                    c_out: sigma.neg()?,
                    c_in: rsqrt(1.0)?,
                    c_noise: (time * f64::from(steps.saturating_sub(1)))?,
                })
            }
            Precond::Ve {} => Ok(Coefficients {
                c_skip: sigma.ones_like()?,
                c_out: sigma.clone(),
                c_in: sigma.ones_like()?,
                c_noise: (sigma * 0.5)?.log()?,
            }),
            Precond::Iddpm { steps, .. } => {
                let last = f64::from(steps.saturating_sub(1));
                let levels =
                    sigma.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                let noise: Vec<f64> =
                    levels.iter().map(|&sigma| last - self.index(sigma) as f64).collect();
                let noise = Tensor::new(noise, &Device::Cpu)?.to_dtype(sigma.dtype())?;
                Ok(Coefficients {
                    c_skip: sigma.ones_like()?,
                    c_out: sigma.neg()?,
                    c_in: rsqrt(1.0)?,
                    c_noise: noise.to_device(sigma.device())?,
                })
            }
        }
    }

    /// The nearest level that the network was trained on: of the table for iDDPM, else `sigma`.
    pub fn round_sigma(&self, sigma: f64) -> f64 {
        if self.table.is_empty() { sigma } else { self.table[self.index(sigma)] }
    }

    /// Index of the table's nearest level. The table falls, so a bisection finds it.
    fn index(&self, sigma: f64) -> usize {
        let below = self.table.partition_point(|&u| sigma < u);
        let distance = |i: usize| (self.table[i] - sigma).abs();
        match below {
            0 => 0,
            i if i == self.table.len() => i - 1,
            i if distance(i - 1) <= distance(i) => i - 1,
            i => i,
        }
    }
}
