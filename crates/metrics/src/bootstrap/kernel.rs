//! Intervals of KID: one pass over the kernel serves all resamples.

use super::{Bootstrap, Interval};
use crate::kid::{across_tiles, within_tiles};
use crate::matrix::same_dim;
use crate::tiles::products;
use crate::{Matrix, Result, kid};

impl Bootstrap {
    /// Computes the interval of [`kid()`](crate::kid()).
    ///
    /// Only pairs of distinct images count, because `k(x, x)` of an image drawn twice would bias
    /// every replicate upward.
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as the distance.
    pub fn kid(&self, generated: &Matrix, reference: &Matrix) -> Result<Interval> {
        self.kid_around(kid(generated, reference)?, generated, reference)
    }

    /// Computes the interval of [`Self::kid`] from the images' KID.
    pub(crate) fn kid_around(
        &self,
        estimate: f64,
        generated: &Matrix,
        reference: &Matrix,
    ) -> Result<Interval> {
        same_dim(generated, reference)?;
        self.check(generated.len())?;
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
}

fn to_f64(counts: &[u32]) -> Vec<f64> {
    counts.iter().map(|&count| f64::from(count)).collect()
}

/// Computes `Σₐᵦ wₐ kernelₐᵦ wᵦ` over a tile that starts at (i, j), for each replicate's weights
/// `w`.
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

/// Computes `Σⱼ k(xᵢ, yⱼ)` for each row `i` of `x`.
fn affinities(x: &Matrix, y: &Matrix) -> Vec<f64> {
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
