//! The generator: a denoiser called once, at a fixed level, on pure noise, or at a few levels one after the other.

use candle_core::{Result, Tensor};

use crate::denoiser::{Conditioning, Denoiser, level_like};

/// The generator's samples from standard normal `z`.
///
/// ```text
/// x₀ = D(σ_init z; σ_init)
/// ```
///
/// (Zhou et al. 2024, "Score identity Distillation", arXiv:2404.04057.) A teacher's weights are a
/// good start: given very noisy images they return the mean of the data.
///
/// # Shapes
///
/// - `z`: `[B, ...]`; `sigma_init` in data units
/// - returns: the shape of `z`
///
/// # Errors
///
/// If shapes or conditioning do not fit the denoiser.
pub fn generate(
    denoiser: &dyn Denoiser,
    z: &Tensor,
    sigma_init: f64,
    cond: &Conditioning,
) -> Result<Tensor> {
    denoiser.denoise(&(z * sigma_init)?, &level_like(sigma_init, z)?, cond)
}

/// Smallest noise level and exponent of Karras' ramp, on which the levels of the steps are.
const RAMP: (f64, f64) = (0.002, 7.0);

/// Noise levels of a generator that is called several times for an image.
///
/// ```text
/// x⁽¹⁾ = D(σ₁ z; σ₁),    x⁽ᵏ⁺¹⁾ = D(x⁽ᵏ⁾ + σₖ₊₁ nₖ; σₖ₊₁)
/// σₖ = (σ_init^(1/7) + (k-1)/K (0.002^(1/7) - σ_init^(1/7)))⁷
/// ```
///
/// with fresh noise `nₖ` at every step (few-step SiD, arXiv:2505.12674; its levels are times of Stable
/// Diffusion's schedule, ours are on the ramp of Karras et al. 2022, arXiv:2206.00364, Eq. 5). With
/// `K = 1` it is [`generate`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSchedule {
    /// Noise level of the first step, in data units.
    pub sigma_init: f64,
    /// Number of steps that the generator was trained for, `K`.
    pub steps: usize,
}

impl StepSchedule {
    /// A single step.
    pub fn one_step(sigma_init: f64) -> Self {
        Self { sigma_init, steps: 1 }
    }

    /// Noise level of a step, counted from 0.
    pub fn sigma(&self, step: usize) -> f64 {
        let (min, rho) = RAMP;
        if step == 0 {
            return self.sigma_init;
        }
        let root = |sigma: f64| sigma.powf(1.0 / rho);
        let share = step as f64 / self.steps as f64;
        (root(self.sigma_init) + share * (root(min) - root(self.sigma_init))).powf(rho)
    }

    /// The image after `steps` steps; `noise` gives the standard normal noise before each step but the
    /// first, of the shape of `z`.
    ///
    /// # Errors
    ///
    /// If shapes or conditioning do not fit the denoiser, or there are more steps than the schedule has.
    pub fn generate(
        &self,
        denoiser: &dyn Denoiser,
        z: &Tensor,
        steps: usize,
        noise: &mut dyn FnMut(usize) -> Result<Tensor>,
        cond: &Conditioning,
    ) -> Result<Tensor> {
        if self.steps < steps {
            candle_core::bail!(
                "{steps} steps of a generator that was trained for {}; give at most that many",
                self.steps
            );
        }
        let mut x = generate(denoiser, z, self.sigma_init, cond)?;
        for step in 1..steps {
            let sigma = self.sigma(step);
            let noised = (x + (noise(step)? * sigma)?)?;
            x = denoiser.denoise(&noised, &level_like(sigma, z)?, cond)?;
        }
        Ok(x)
    }
}
