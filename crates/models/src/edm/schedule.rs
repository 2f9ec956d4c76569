//! The noise levels of sampling (Karras et al. 2022, arXiv:2206.00364, Eq. 5).

/// EDM's exponent ρ.
pub const RHO: f64 = 7.0;

/// The level at time `t` of the ramp from `sigma_max` (t = 0) to `sigma_min` (t = 1).
///
/// ```text
/// σ(t) = (σ_max^(1/ρ) + t (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ
/// ```
pub fn karras_sigma(t: f64, sigma_min: f64, sigma_max: f64, rho: f64) -> f64 {
    let [low, high] = [sigma_min, sigma_max].map(|sigma| sigma.powf(rho.recip()));
    (high + t * (low - high)).powf(rho)
}

/// `steps` levels of the ramp, from `sigma_max` down to `sigma_min`; without the final zero.
///
/// One step is `sigma_max` alone.
pub fn karras_sigmas(steps: usize, sigma_min: f64, sigma_max: f64, rho: f64) -> Vec<f64> {
    let last = steps.saturating_sub(1).max(1) as f64;
    (0..steps).map(|i| karras_sigma(i as f64 / last, sigma_min, sigma_max, rho)).collect()
}
