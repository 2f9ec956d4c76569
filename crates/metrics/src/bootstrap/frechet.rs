//! Intervals of the Fréchet distance, at a fraction of the distance's cost for each resample.
//!
//! With the reference's covariance `L Lᵀ` and a resample's covariance `S`, the overlap in the
//! distance is `tr (Lᵀ S L)^½`, and `Lᵀ S L` is the covariance of the resampled rows of
//! `(x − c) L`, which are computed once. Each resample then costs the eigenvalues of a matrix whose
//! size is the smaller of the numbers of features and images.

use faer::Mat;
use rayon::prelude::*;

use super::{Bootstrap, Interval};
use crate::frechet::eigenvalues;
use crate::{FrechetReference, Gaussian, Matrix, Moments, Result};

impl Bootstrap {
    /// Computes the interval of [`frechet_distance`](crate::frechet_distance).
    ///
    /// # Errors
    ///
    /// If there are fewer than 10 images, a setting is out of range, or as the distance.
    pub fn frechet(&self, generated: &Matrix, reference: &Gaussian) -> Result<Interval> {
        let reference = FrechetReference::new(reference.clone())?;
        let gaussian = Moments::of(generated).gaussian()?;
        self.frechet_around(reference.distance(&gaussian)?, generated, &gaussian, &reference)
    }

    /// Computes the interval of [`Self::frechet`] from the generated images' Gaussian and distance.
    pub(crate) fn frechet_around(
        &self,
        estimate: f64,
        generated: &Matrix,
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

/// Values of each image from which the distance of a resample follows.
struct Images<'a> {
    rows: &'a Matrix,
    /// Mean of all rows, `[D]`; the other fields are relative to it.
    center: &'a [f64],
    /// `|x − c|²`.
    norms: Vec<f64>,
    /// `(x − c) L`, or shorter rows with the same inner products.
    projected: Matrix,
}

impl<'a> Images<'a> {
    fn new(rows: &'a Matrix, center: &'a [f64], reference: &FrechetReference) -> Result<Self> {
        let centered =
            Mat::from_fn(rows.len(), rows.dim(), |i, j| f64::from(rows.row(i)[j]) - center[j]);
        let norms = centered.row_iter().map(|row| row.squared_norm_l2()).collect();
        let projected = reference.project(&centered)?;
        let values = projected.row_iter().flat_map(|row| row.iter().map(|&x| x as f32));
        let projected = Matrix::new("features", values.collect(), projected.ncols().max(1))?;
        Ok(Self { rows, center, norms, projected })
    }

    /// Computes the distance of the set in which image `i` occurs `weights[i]` times.
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
