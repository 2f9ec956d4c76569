//! Settings of Adam and of the moving average.

use serde::{Deserialize, Serialize};

use super::numbers::{Fraction, NonNegative, Positive};

/// Settings of Adam for one set of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Step size once ramped up.
    pub learning_rate: Positive,
    /// Decay of Adam's first moment.
    pub beta1: Fraction,
    /// Decay of Adam's second moment.
    pub beta2: Fraction,
    /// Added to the root of the second moment.
    pub eps: Positive,
    /// Decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).
    pub weight_decay: NonNegative,
    /// Largest absolute value of an element of the gradient; larger ones are clipped first of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_value: Option<Positive>,
    /// Largest norm of the whole gradient; a larger gradient is scaled down to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<Positive>,
    /// The step size grows linearly from zero over this many images.
    pub ramp_images: u64,
    /// Beyond this many images the step size falls as the inverse square root of progress
    /// (Karras et al. 2024, arXiv:2312.02696, Eq. 67).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_images: Option<Positive>,
    /// Over the last images of the run, this many, the step size falls linearly to zero. Generator and fake
    /// score count the generator's images.
    #[serde(skip_serializing_if = "is_zero")]
    pub cooldown_images: u64,
}

/// True for the default, which files leave out.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Default for OptimizerConfig {
    /// SiD's values, which SiDA and Uni-Instruct share (docs/methods.md, "Settings in the papers").
    fn default() -> Self {
        Self {
            learning_rate: Positive::literal(1e-5),
            beta1: Fraction::literal(0.0),
            beta2: Fraction::literal(0.999),
            eps: Positive::literal(1e-8),
            weight_decay: NonNegative::literal(0.0),
            clip_value: None,
            clip_norm: None,
            ramp_images: 0,
            decay_images: None,
            cooldown_images: 0,
        }
    }
}

impl OptimizerConfig {
    /// The step size after `images` images.
    pub fn learning_rate_at(&self, images: u64) -> f64 {
        let images = images as f64;
        let ramp = match self.ramp_images {
            0 => 1.0,
            ramp => (images / ramp as f64).min(1.0),
        };
        let decay = self.decay_images.map_or(1.0, |start| (images / start.get()).max(1.0).sqrt());
        self.learning_rate.get() * ramp / decay
    }

    /// The settings of an update that starts with this many images of the run left.
    pub(crate) fn cooled(&self, left: u64) -> Self {
        if self.cooldown_images <= left {
            return *self;
        }
        // Positive even at the end, where no image is left.
        let share = (left as f64 / self.cooldown_images as f64).max(1e-6);
        let rate = self.learning_rate.get() * share;
        Self { learning_rate: Positive::try_from(rate).unwrap_or(self.learning_rate), ..*self }
    }
}

/// Moving average of the generator's weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmaConfig {
    /// Half-life, in images.
    pub half_life: Positive,
    /// The half-life is at most this share of the images shown so far (EDM's ramp-up).
    pub ramp: Positive,
}

impl Default for EmaConfig {
    /// EDM's and SiD's values: half a million images, ramp-up of five per cent.
    fn default() -> Self {
        Self { half_life: Positive::literal(500e3), ramp: Positive::literal(0.05) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_sizes_fall_to_zero_at_the_end() {
        let rate = Positive::literal(0.1);
        let config = OptimizerConfig { learning_rate: rate, ..OptimizerConfig::default() };
        assert_eq!(config.cooled(0).learning_rate, rate);
        let config = OptimizerConfig { cooldown_images: 200, ..config };
        for (left, expected) in [(1000, 0.1), (200, 0.1), (100, 0.05), (20, 0.01)] {
            assert!((config.cooled(left).learning_rate.get() - expected).abs() < 1e-12, "{left}");
        }
    }

    #[test]
    fn step_sizes_ramp_up_and_decay() {
        let config = OptimizerConfig {
            learning_rate: Positive::literal(0.1),
            ramp_images: 100,
            decay_images: Some(Positive::literal(400.0)),
            ..OptimizerConfig::default()
        };
        for (images, expected) in [(0, 0.0), (50, 0.05), (100, 0.1), (400, 0.1), (1600, 0.05)] {
            assert!((config.learning_rate_at(images) - expected).abs() < 1e-12, "{images}");
        }
    }
}
