//! Confidence intervals of the metrics, by the bootstrap (Efron and Tibshirani 1993).
//!
//! # Scope
//!
//! The generated images are resampled with repetition; the references are fixed. An interval covers
//! the variation over other images of the same generator. It does not cover another reference set,
//! extractor or training run.
//!
//! # Why centered intervals
//!
//! The Fréchet distance of a finite sample is biased upward. A resample has fewer distinct images,
//! so its bias is larger, and the plain percentiles often lie above the estimate. Only the spread
//! of the replicates is meaningful, so they are shifted to have the estimate as their mean. The
//! bias of the estimate remains: compare Fréchet distances at equal numbers of images.

mod frechet;
mod kernel;

use kernels::noise::NoiseStream;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::classification::{Classes, class_hits};
use crate::matrix::at_least;
use crate::prdc::Neighborhoods;
use crate::{Error, Matrix, Prdc, Result};

/// Noise stream of the resamples, different from every stream of a run.
const RESAMPLE_STREAM: u32 = 0x424f_4f54;

/// Settings of confidence intervals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Number of resamples, at least 2. A few hundred determine a 95 % interval to a tenth of its
    /// width.
    pub replicates: usize,
    /// Share of the replicates inside the interval, in (0, 1).
    pub level: f64,
    /// Seed of the resamples, which are the same for all metrics.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { replicates: 200, level: 0.95, seed: 0 }
    }
}

/// Confidence interval of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation of the replicates.
    pub standard_error: f64,
}

/// Intervals of [`Prdc`](crate::Prdc).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrdcIntervals {
    /// Interval of [`Prdc::precision`](crate::Prdc::precision).
    pub precision: Interval,
    /// Interval of [`Prdc::recall`](crate::Prdc::recall).
    pub recall: Interval,
    /// Interval of [`Prdc::density`](crate::Prdc::density).
    pub density: Interval,
    /// Interval of [`Prdc::coverage`](crate::Prdc::coverage).
    pub coverage: Interval,
}

impl Bootstrap {
    /// Smallest number of images. A resample of fewer could consist of copies of one image.
    pub const FEWEST: usize = 10;

    /// Computes the interval of a mean over images, such as a share.
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, or a setting is out of range.
    pub fn mean(&self, of_image: &[f64]) -> Result<Interval> {
        self.check(of_image.len())?;
        let mean = |weights: &[u32]| {
            let weighted = of_image.iter().zip(weights);
            weighted.map(|(value, &w)| value * f64::from(w)).sum::<f64>() / of_image.len() as f64
        };
        let values = self.resamples(of_image.len()).iter().map(|it| mean(it)).collect();
        Ok(self.interval(mean(&vec![1; of_image.len()]), values))
    }

    /// Computes the interval of [`class_accuracy`](crate::class_accuracy).
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as the accuracy.
    pub fn class_accuracy(&self, logits: &Matrix, labels: &[u32]) -> Result<Interval> {
        let hits = class_hits(logits, labels)?;
        self.mean(&hits.into_iter().map(|hit| f64::from(u8::from(hit))).collect::<Vec<_>>())
    }

    /// Computes the interval of [`inception_score`](crate::inception_score).
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, or a setting is out of range.
    pub fn inception_score(&self, logits: &Matrix) -> Result<Interval> {
        self.check(logits.len())?;
        let classes = Classes::of(logits);
        let resamples = self.resamples(logits.len());
        let values = resamples.par_iter().map(|weights| classes.score(weights)).collect();
        Ok(self.interval(classes.score(&vec![1; logits.len()]), values))
    }

    /// Computes the intervals of [`prdc()`](crate::prdc()). In a resample, copies of an image do
    /// not count as its neighbors, because they would shrink every neighborhood.
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as
    /// [`prdc()`](crate::prdc()).
    pub fn prdc(&self, generated: &Matrix, reference: &Matrix, k: usize) -> Result<PrdcIntervals> {
        let neighborhoods = Neighborhoods::new(generated, reference, k, Self::depth(k))?;
        self.prdc_of(&neighborhoods, generated.len())
    }

    /// Number of neighbors to keep, so that the `k`-th that occurs in a resample is almost always
    /// among them: 63 % of the images occur.
    pub(crate) fn depth(k: usize) -> usize {
        4 * k + 12
    }

    /// Computes the intervals of [`Self::prdc`] from neighborhoods.
    pub(crate) fn prdc_of(
        &self,
        neighborhoods: &Neighborhoods,
        images: usize,
    ) -> Result<PrdcIntervals> {
        self.check(images)?;
        let estimate = neighborhoods.metrics(&vec![1; images]);
        let resamples = self.resamples(images);
        let replicates: Vec<Prdc> =
            resamples.par_iter().map(|weights| neighborhoods.metrics(weights)).collect();
        let interval = |metric: fn(&Prdc) -> f64| {
            self.interval(metric(&estimate), replicates.iter().map(metric).collect())
        };
        Ok(PrdcIntervals {
            precision: interval(|it| it.precision),
            recall: interval(|it| it.recall),
            density: interval(|it| it.density),
            coverage: interval(|it| it.coverage),
        })
    }

    fn check(&self, images: usize) -> Result<()> {
        at_least("confidence interval", Self::FEWEST, images)?;
        let setting = |what, found: String, allowed: &str| {
            Err(Error::Setting { what, found, allowed: allowed.to_owned() })
        };
        if self.replicates < 2 {
            return setting("number of resamples", self.replicates.to_string(), "2 or more");
        }
        // Written so that a NaN fails.
        if !(0.0 < self.level && self.level < 1.0) {
            return setting("level of an interval", self.level.to_string(), "between 0 and 1");
        }
        Ok(())
    }

    /// Draws the resamples: the number of occurrences of each image.
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

/// Computes the quantile at `share` of ascending values, interpolated between neighbors.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (place - low as f64) * (sorted[high] - sorted[low])
}
