//! Terms that a method adds to its surrogate.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::method::positive;

/// A non-saturating GAN term on the noised images, `softplus(-l)`.
///
/// Both weights are per element: they multiply the term by the number of elements of a sample,
/// because the other losses are sums over elements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversarial {
    /// Weight in the generator's loss, at least 0: with 0 only the discriminator is trained.
    pub generator_weight: f64,
    /// Weight of the discriminator's cross-entropy relative to the denoising loss, positive.
    pub discriminator_weight: f64,
}

/// A regression of the generator on pairs of noise and image made by the teacher's sampler (DMD,
/// arXiv:2311.18828, Eq. 9).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regression {
    /// Weight in the generator's loss, positive.
    pub weight: f64,
}

/// The Fréchet distance between features of real images and of the generator's own, over a queue of the
/// generator's latest images (FD-loss, arXiv:2604.28190).
///
/// It trains on a metric: a distance on the same features no longer measures quality.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frechet {
    /// Weight of the distance in the generator's loss, positive.
    pub weight: f64,
    /// Images whose features estimate mean and covariance, at least 2. The term is 0 until the queue is
    /// full.
    #[serde(default = "default_queue")]
    pub queue: usize,
}

/// Several times the 128 features of the embedded network, so that the covariance has full rank.
fn default_queue() -> usize {
    2048
}

/// A reward: the log-probability that a classifier gives to the label of an image (Diff-Instruct++,
/// arXiv:2410.18881, and Diff-Instruct*, arXiv:2410.20898, take models of human preference).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// Weight in the generator's loss, positive.
    pub weight: f64,
}

impl Adversarial {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.generator_weight != 0.0 {
            positive("adversarial.generator_weight", self.generator_weight)?;
        }
        positive("adversarial.discriminator_weight", self.discriminator_weight)
    }
}

impl Regression {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        positive("regression.weight", self.weight)
    }
}

impl Frechet {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        positive("frechet.weight", self.weight)?;
        if !(2..=LARGEST_QUEUE).contains(&self.queue) {
            let problem = format!("{} must be from 2 to {LARGEST_QUEUE}", self.queue);
            return Err(Error::method("frechet.queue", problem));
        }
        Ok(())
    }
}

/// Beyond this the oldest features would be from another generator.
const LARGEST_QUEUE: usize = 1_000_000;

impl Reward {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        positive("reward.weight", self.weight)
    }
}
