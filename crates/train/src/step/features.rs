//! Auxiliary terms of a feature network: a Fréchet distance and a reward.

use candle_core::{Result, Tensor};
use divergence::{Frechet, Reward};
use kernels::from_host;
use metrics::{FeatureNet, FrechetReference, Matrix, Moments, cross_entropy};
use models::Conditioning;

use crate::state::FeatureQueue;

/// A feature network through which gradients reach its input.
pub trait FeatureModel {
    /// Features `[B, D]` of images `[B, ...]` in data units.
    ///
    /// # Errors
    ///
    /// If the images have another shape than the network takes.
    fn features(&self, images: &Tensor) -> Result<Tensor>;

    /// Logits `[B, K]` of classes, from features.
    ///
    /// # Errors
    ///
    /// If the features have another shape.
    fn logits(&self, features: &Tensor) -> Result<Tensor>;
}

impl FeatureModel for FeatureNet {
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        self.features(images)
    }

    fn logits(&self, features: &Tensor) -> Result<Tensor> {
        self.logits(features)
    }
}

/// Inputs of a Fréchet distance: the features of real images and of the generator's images.
#[derive(Clone, Copy)]
pub struct FrechetInputs<'a> {
    /// Mean and covariance of the features of real images.
    pub reference: &'a FrechetReference,
    /// Features of the generator's latest images.
    pub queue: &'a FeatureQueue,
}

/// Weighted Fréchet distance of the batch's features and the queue's from the reference: `[B]`, all equal.
/// Its gradient is the gradient of the distance of the whole population, estimated from the batch.
///
/// Of a population of `N` rows with mean `μ` and covariance `S`,
///
/// ```text
/// ∂FD/∂fᵢ = 2/N (μ - μ_r) + 2/(N-1) (1 - T)(fᵢ - μ),    T = S_r^½ (S_r^½ S S_r^½)^-½ S_r^½
/// ```
///
/// and the batch's rows stand for all `N`.
///
/// # Errors
///
/// If the sizes disagree, or a feature is not finite.
pub(super) fn frechet_term(
    term: &Frechet,
    features: &Tensor,
    inputs: FrechetInputs<'_>,
) -> Result<Tensor> {
    let (batch, dim) = features.dims2()?;
    let Some(queued) = inputs.queue.latest(term.queue) else {
        // Too few features to estimate a covariance. The term is 0, with a gradient of 0.
        return features.sum(1)? * 0.0;
    };
    let own: Vec<f64> = kernels::to_host(&features.flatten_all()?)?;
    let mut rows = queued;
    rows.extend(own.iter().map(|&it| it as f32));
    let rows = Matrix::new("features", rows, dim).map_err(candle_core::Error::wrap)?;
    let count = rows.len() as f64;
    let population = Moments::of(&rows).gaussian().map_err(candle_core::Error::wrap)?;
    let slope = inputs.reference.gradient(&population).map_err(candle_core::Error::wrap)?;
    let mean = population.mean();
    let direction: Vec<f64> = own
        .chunks(dim)
        .flat_map(|row| {
            let centered: Vec<f64> = row.iter().zip(mean).map(|(x, mean)| x - mean).collect();
            let slope = &slope;
            (0..dim).map(move |i| {
                let spread: f64 = slope.covariance[i * dim..][..dim]
                    .iter()
                    .zip(&centered)
                    .map(|(slope, x)| slope * x)
                    .sum();
                slope.mean[i] + 2.0 * count / (count - 1.0) * spread
            })
        })
        .collect();
    let direction = from_host(&direction, features)?.reshape((batch, dim))?;
    let linear = (features * direction)?.sum(1)?;
    // The value of the distance, with the gradient of the linear form.
    (((&linear - linear.detach())? + slope.distance)? * term.weight)?.contiguous()
}

/// Weighted reward, `-weight · ln p(label | x₀)`: `[B]`.
///
/// # Errors
///
/// If the samples have no labels.
pub(super) fn reward_term(term: &Reward, logits: &Tensor, cond: &Conditioning) -> Result<Tensor> {
    let Some(labels) = &cond.labels else {
        candle_core::bail!("the method has a reward, which needs labels; choose one without");
    };
    cross_entropy(logits, &labels.argmax(1)?)? * term.weight
}
