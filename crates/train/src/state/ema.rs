//! Moving average of the generator's weights.

use candle_core::Result;
use models::params::ParamSet;

use crate::config::EmaConfig;

/// Decay of one update of `batch` images, after `images` in total.
///
/// ```text
/// β = 2^(−batch / half_life),   half_life ≤ ramp · images
/// ```
///
/// as in EDM's training loop (Karras et al. 2022, arXiv:2206.00364, Table 7 and its code's
/// `ema_halflife_kimg`, `ema_rampup_ratio`).
pub fn decay(config: &EmaConfig, images: u64, batch: u64) -> f64 {
    let half_life = config.half_life.get().min(config.ramp.get() * images as f64);
    if half_life <= 0.0 { 0.0 } else { 0.5f64.powf(batch as f64 / half_life) }
}

/// `ema ← β ema + (1 − β) params`, parameter by parameter, in place.
///
/// # Errors
///
/// If the two sets are of different architectures.
pub fn update(ema: &ParamSet, params: &ParamSet, beta: f64) -> Result<()> {
    for (name, average) in ema.vars() {
        let Some(current) = params.vars().get(name) else {
            candle_core::bail!(
                "the averaged weights have `{name}`, the trained ones do not; average weights of one architecture"
            );
        };
        kernels::adam::ema_update(average, &current.as_detached_tensor(), beta)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Positive;

    #[test]
    fn a_half_life_halves_the_weight_of_the_past() {
        let config =
            EmaConfig { half_life: Positive::literal(1000.0), ramp: Positive::literal(1.0) };
        let beta = decay(&config, 10_000, 100);
        assert!((beta.powi(10) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_half_life_ramps_up() {
        let config =
            EmaConfig { half_life: Positive::literal(1000.0), ramp: Positive::literal(0.05) };
        assert_eq!(decay(&config, 0, 100), 0.0);
        // Five per cent of 2000 images is a half-life of 100.
        assert!((decay(&config, 2000, 100) - 0.5).abs() < 1e-12);
    }
}
