//! Intervals of the Fréchet distance, at a small part of its price a resample.
//!
//! With the reference's covariance `L Lᵀ` and a resample's `S`, the overlap in the distance is
//! `tr (Lᵀ S L)^½`, and `Lᵀ S L` is the covariance of the resampled rows of `(x − c) L`, which are
//! made once. What is left are the eigenvalues of a matrix that is no larger than the number of
//! features or of images, whichever is less.

use faer::Mat;
use rayon::prelude::*;

use super::{Bootstrap, Interval};
use crate::frechet::eigenvalues;
use crate::{FrechetReference, Gaussian, Moments, Result, Rows};

impl Bootstrap {
    /// The interval of [`frechet_distance`](crate::frechet_distance).
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as the distance.
    pub fn frechet(&self, generated: &Rows, reference: &Gaussian) -> Result<Interval> {
        let reference = FrechetReference::new(reference.clone())?;
        let gaussian = Moments::of(generated).gaussian()?;
        self.frechet_around(reference.distance(&gaussian)?, generated, &gaussian, &reference)
    }

    /// As [`Self::frechet`], with the generated images' own Gaussian and distance, which are known.
    pub(crate) fn frechet_around(
        &self,
        estimate: f64,
        generated: &Rows,
        gaussian: &Gaussian,
        reference: &FrechetReference,
    ) -> Result<Interval> {
        self.check(generated.len())?;
        let images = Images::new(generated, gaussian.mean(), reference)?;
        let replicate = |weights: Vec<u32>| images.distance(&weights, reference);
        let resamples = self.resamples(generated.len());
        let values = resamples.into_par_iter().map(replicate).collect::<Result<Vec<_>>>()?;
        Ok(self.interval(estimate, values))
    }
}

/// What the distance of a resample needs of each image.
struct Images<'a> {
    rows: &'a Rows,
    /// The mean of all rows, `[D]`; everything else is relative to it.
    center: &'a [f64],
    /// `|x − c|²`.
    norms: Vec<f64>,
    /// `(x − c) L`, or as few numbers an image with the same inner products.
    projected: Rows,
}

impl<'a> Images<'a> {
    fn new(rows: &'a Rows, center: &'a [f64], reference: &FrechetReference) -> Result<Self> {
        let centered =
            Mat::from_fn(rows.len(), rows.dim(), |i, j| f64::from(rows.row(i)[j]) - center[j]);
        let norms = centered.row_iter().map(|row| row.squared_norm_l2()).collect();
        let projected = reference.project(&centered)?;
        let values = projected.row_iter().flat_map(|row| row.iter().map(|&x| x as f32));
        let projected = Rows::new("features", values.collect(), projected.ncols().max(1))?;
        Ok(Self { rows, center, norms, projected })
    }

    /// The distance of the set in which image `i` occurs `weights[i]` times.
    fn distance(&self, weights: &[u32], reference: &FrechetReference) -> Result<f64> {
        let count = self.rows.len() as f64;
        let mut shift = vec![0.0; self.center.len()];
        for (row, &weight) in self.rows.iter().zip(weights).filter(|(_, w)| **w != 0) {
            for ((sum, x), c) in shift.iter_mut().zip(row).zip(self.center) {
                *sum += f64::from(weight) / count * (f64::from(*x) - c);
            }
        }
        let moved: f64 = shift.iter().map(|it| it * it).sum();
        let squares: f64 = self.norms.iter().zip(weights).map(|(n, &w)| n * f64::from(w)).sum();
        let spread = (squares - count * moved) / (count - 1.0);
        let mean: Vec<f64> = self.center.iter().zip(&shift).map(|(c, shift)| c + shift).collect();
        let projected = Moments::of_weighted(&self.projected, weights)?.gaussian()?;
        let values = eigenvalues(projected.covariance(), projected.dim())?;
        let overlap = values.into_iter().map(|it| it.max(0.0).sqrt()).sum();
        Ok(reference.of_parts(&mean, spread, overlap))
    }
}
