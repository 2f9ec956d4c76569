//! Confidence intervals of the figures, from resampled images (Efron and Tibshirani 1993).
//!
//! # What varies
//!
//! The generated images are drawn anew from themselves, with repetition; the references stay. So
//! an interval answers: how far could this figure move if the generator made other images, all
//! else equal? It does not cover another reference set, extractor or training run.
//!
//! # Why centred intervals
//!
//! The Fréchet distance of a finite sample is too large, and that of a resample, which has fewer
//! different images, larger still: the plain percentiles often lie wholly above the estimate.
//! Only the replicates' spread is of use, so they are moved to have the estimate as their mean.
//! The bias of the estimate itself remains: compare Fréchet distances at equal numbers of images.

use models::ops::noise::NoiseStream;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::classification::class_hits;
use crate::kid::{across_tiles, within_tiles};
use crate::rows::{at_least, same_dim};
use crate::tiles::products;
use crate::{Error, FrechetReference, Gaussian, Moments, Result, Rows, frechet_distance, kid};

/// Stream of the resamples, apart from every stream of a run.
const RESAMPLE_STREAM: u32 = 0x424f_4f54;

/// Fewest images that are resampled: of fewer, a resample may hold but one image.
const FEWEST: usize = 10;

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Resamples; at least 2. A few hundred settle a 95 % interval to a tenth of its width.
    pub replicates: usize,
    /// Share of the replicates inside the interval, in (0, 1).
    pub level: f64,
    /// Seed of the resamples. Equal seeds resample equally, whatever the figure.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { replicates: 200, level: 0.95, seed: 0 }
    }
}

/// A range of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation of the replicates.
    pub standard_error: f64,
}

impl Bootstrap {
    /// The interval of [`frechet_distance`].
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as the distance.
    pub fn frechet(&self, generated: &Rows, reference: &Gaussian) -> Result<Interval> {
        self.check(generated.len())?;
        let estimate = frechet_distance(&Moments::of(generated).gaussian()?, reference)?;
        let reference = FrechetReference::new(reference)?;
        let replicate = |weights: Vec<u32>| {
            reference.distance(&Moments::of_weighted(generated, &weights)?.gaussian()?)
        };
        let resamples = self.resamples(generated.len());
        let values = resamples.into_par_iter().map(replicate).collect::<Result<Vec<_>>>()?;
        Ok(self.interval(estimate, values))
    }

    /// The interval of [`kid()`](crate::kid()).
    ///
    /// An image drawn twice is not a pair of images: only pairs of different ones are counted, or
    /// `k(x, x)` would enter and bias every replicate upwards.
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as the distance.
    pub fn kid(&self, generated: &Rows, reference: &Rows) -> Result<Interval> {
        same_dim(generated, reference)?;
        self.check(generated.len())?;
        let estimate = kid(generated, reference)?;
        let (n, m) = (generated.len() as f64, reference.len() as f64);
        let weights: Vec<Vec<f64>> =
            self.resamples(generated.len()).iter().map(|counts| to_f64(counts)).collect();

        let tiles =
            within_tiles(generated, |i, j, kernel| within_replicates(&weights, i, j, kernel));
        let mut within = vec![0.0; weights.len()];
        for tile in tiles {
            within.iter_mut().zip(tile).for_each(|(sum, value)| *sum += value);
        }
        let affinity = affinities(generated, reference);
        let reference_part = {
            let kernel_sum = |_, _, kernel: &[f64]| kernel.iter().sum::<f64>();
            within_tiles(reference, kernel_sum).into_iter().sum::<f64>() / (m * (m - 1.0))
        };
        let replicate = |(weights, within): (&Vec<f64>, f64)| {
            let pairs = n * n - weights.iter().map(|w| w * w).sum::<f64>();
            let across: f64 = weights.iter().zip(&affinity).map(|(w, a)| w * a).sum();
            within / pairs + reference_part - 2.0 * across / (n * m)
        };
        let values = weights.iter().zip(within).map(replicate).collect();
        Ok(self.interval(estimate, values))
    }

    /// The interval of [`class_accuracy`](crate::class_accuracy).
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as the accuracy.
    pub fn class_accuracy(&self, logits: &Rows, labels: &[u32]) -> Result<Interval> {
        let hits: Vec<f64> =
            class_hits(logits, labels)?.into_iter().map(|hit| f64::from(u8::from(hit))).collect();
        self.check(hits.len())?;
        let count = hits.len() as f64;
        let share = |weights: &Vec<u32>| {
            hits.iter().zip(weights).map(|(hit, &w)| hit * f64::from(w)).sum::<f64>() / count
        };
        let values = self.resamples(hits.len()).iter().map(share).collect();
        Ok(self.interval(hits.iter().sum::<f64>() / count, values))
    }

    fn check(&self, images: usize) -> Result<()> {
        at_least("confidence interval", FEWEST, images)?;
        let setting = |what, found: String, allowed: &str| {
            Err(Error::Setting { what, found, allowed: allowed.to_owned() })
        };
        match () {
            () if self.replicates < 2 => {
                setting("number of resamples", self.replicates.to_string(), "2 or more")
            }
            () if !(0.0 < self.level && self.level < 1.0) => {
                setting("level of an interval", self.level.to_string(), "between 0 and 1")
            }
            () => Ok(()),
        }
    }

    /// How often each image occurs, for each resample.
    fn resamples(&self, images: usize) -> Vec<Vec<u32>> {
        let stream = NoiseStream::new(self.seed, RESAMPLE_STREAM);
        let resample = |replicate: usize| {
            let mut counts = vec![0; images];
            for draw in 0..images {
                let image = stream.below(replicate as u64, draw as u32, images as u64);
                counts[image as usize] += 1;
            }
            counts
        };
        (0..self.replicates).into_par_iter().map(resample).collect()
    }

    fn interval(&self, estimate: f64, mut values: Vec<f64>) -> Interval {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        let end = |share| estimate + (quantile(&values, share) - mean);
        let standard_error = (squares / (count - 1.0)).sqrt();
        Interval { low: end(tail), high: end(1.0 - tail), standard_error }
    }
}

fn to_f64(counts: &[u32]) -> Vec<f64> {
    counts.iter().map(|&count| f64::from(count)).collect()
}

/// `Σₐᵦ wₐ kernelₐᵦ wᵦ` over a tile that starts at (i, j), for each replicate's weights `w`.
fn within_replicates(weights: &[Vec<f64>], i: usize, j: usize, kernel: &[f64]) -> Vec<f64> {
    let images = weights.first().map_or(0, Vec::len);
    let columns = (images - j).min(crate::tiles::TILE);
    let right: Vec<f64> = weights.iter().flat_map(|w| &w[j..j + columns]).copied().collect();
    // [rows of the tile, replicates]
    let weighted = products(kernel, &right, columns);
    let mut sums = vec![0.0; weights.len()];
    for (a, row) in weighted.chunks_exact(weights.len()).enumerate() {
        for ((sum, value), w) in sums.iter_mut().zip(row).zip(weights) {
            *sum += w[i + a] * value;
        }
    }
    sums
}

/// `Σⱼ k(xᵢ, yⱼ)` for each row `i` of `x`.
fn affinities(x: &Rows, y: &Rows) -> Vec<f64> {
    let tiles = across_tiles(x, y, |i, j, kernel| {
        let columns = (y.len() - j).min(crate::tiles::TILE);
        (i, kernel.chunks_exact(columns).map(|row| row.iter().sum()).collect::<Vec<f64>>())
    });
    let mut sums = vec![0.0; x.len()];
    for (i, tile) in tiles {
        sums[i..].iter_mut().zip(tile).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// The value below which a share of the ascending `sorted` lies, interpolated between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}
