//! Mean and covariance of features, streamed in f64 and mergeable.
//!
//! # Why not sums of squares
//!
//! `E[x xᵀ] − E[x] E[x]ᵀ` loses digits if the mean is large compared with the spread, as it is for
//! pooled activations. Each block is centered on its mean and merged into the running moments by
//! Chan, Golub and LeVeque's update (1983, "Algorithms for computing the sample variance",
//! doi:10.1080/00031305.1983.10483115), which adds positive terms only.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::matrix::at_least;
use crate::{Error, Gaussian, Matrix, Result};

/// Rows centered together; the scatter of a block is one matrix product.
const BLOCK: usize = 256;

/// Columns of the scatter matrix that one task computes.
const STRIPE: usize = 128;

/// Running count, mean and scatter `S = Σᵢ (xᵢ − μ)(xᵢ − μ)ᵀ` of rows of `D` features.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    count: u64,
    mean: Vec<f64>,
    scatter: Vec<f64>,
}

impl Moments {
    /// Starts without rows, of `dim` features each.
    pub fn new(dim: usize) -> Self {
        Self { count: 0, mean: vec![0.0; dim], scatter: vec![0.0; dim * dim] }
    }

    /// Computes the moments of a set.
    pub fn of(rows: &Matrix) -> Self {
        let mut moments = Self::new(rows.dim());
        moments.add_checked(rows);
        moments
    }

    /// Computes the moments of a set in which row `i` occurs `weights[i]` times.
    ///
    /// # Errors
    ///
    /// If the number of weights is not the number of rows.
    pub fn of_weighted(rows: &Matrix, weights: &[u32]) -> Result<Self> {
        let (expected, found) = (rows.len(), weights.len());
        if expected != found {
            return Err(Error::Size { what: "weights", expected, found });
        }
        let mut moments = Self::new(rows.dim());
        for (values, weights) in rows.values().chunks(BLOCK * rows.dim()).zip(weights.chunks(BLOCK))
        {
            moments.merge_unchecked(&Self::of_block(values, rows.dim(), |i| weights[i]));
        }
        Ok(moments)
    }

    /// Adds rows.
    ///
    /// # Errors
    ///
    /// If their dimension differs.
    pub fn add(&mut self, rows: &Matrix) -> Result<()> {
        self.check_dim(rows.dim())?;
        self.add_checked(rows);
        Ok(())
    }

    /// Merges the moments of other rows.
    ///
    /// # Errors
    ///
    /// If their dimension differs.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.check_dim(other.dim())?;
        self.merge_unchecked(other);
        Ok(())
    }

    /// Number of rows.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Features in a row, `D`.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Computes mean and unbiased covariance `S / (N − 1)`.
    ///
    /// # Errors
    ///
    /// If there are fewer than two rows: one sample has no covariance.
    pub fn gaussian(&self) -> Result<Gaussian> {
        at_least("covariance", 2, usize::try_from(self.count).unwrap_or(usize::MAX))?;
        let degrees = (self.count - 1) as f64;
        let covariance = self.scatter.iter().map(|s| s / degrees).collect();
        Gaussian::new(self.mean.clone(), covariance)
    }

    fn check_dim(&self, found: usize) -> Result<()> {
        if self.dim() == found {
            Ok(())
        } else {
            Err(Error::Size { what: "feature dimension", expected: self.dim(), found })
        }
    }

    fn add_checked(&mut self, rows: &Matrix) {
        for values in rows.values().chunks(BLOCK * rows.dim()) {
            self.merge_unchecked(&Self::of_block(values, rows.dim(), |_| 1));
        }
    }

    fn of_block(values: &[f32], dim: usize, weight: impl Fn(usize) -> u32) -> Self {
        let weighted = || {
            let rows = values.chunks_exact(dim).enumerate();
            rows.map(|(i, row)| (weight(i), row)).filter(|&(weight, _)| weight != 0)
        };
        let count: u64 = weighted().map(|(weight, _)| u64::from(weight)).sum();
        let mut block = Self { count, ..Self::new(dim) };
        if count == 0 {
            return block;
        }
        for (weight, row) in weighted() {
            for (mean, &x) in block.mean.iter_mut().zip(row) {
                *mean += f64::from(weight) * f64::from(x) / count as f64;
            }
        }
        let centered: Vec<f64> = weighted()
            .flat_map(|(weight, row)| {
                let root = f64::from(weight).sqrt();
                row.iter().zip(&block.mean).map(move |(&x, mean)| root * (f64::from(x) - mean))
            })
            .collect();
        let rows = centered.len() / dim;
        block.scatter.par_chunks_mut(STRIPE * dim).enumerate().for_each(|(stripe, out)| {
            let centered = MatRef::from_row_major_slice(&centered, rows, dim);
            let columns = out.len() / dim;
            // The matrix is symmetric, so its columns may be stored as rows.
            matmul(
                MatMut::from_column_major_slice_mut(out, dim, columns),
                Accum::Replace,
                centered.transpose(),
                centered.subcols(stripe * STRIPE, columns),
                1.0,
                Par::Seq,
            );
        });
        block
    }

    fn merge_unchecked(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let gap: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(b, a)| b - a).collect();
        let between = n * m / (n + m);
        let dim = gap.len();
        for (i, (row, added)) in
            self.scatter.chunks_mut(dim).zip(other.scatter.chunks(dim)).enumerate()
        {
            for ((s, added), gap_j) in row.iter_mut().zip(added).zip(&gap) {
                *s += added + between * gap[i] * gap_j;
            }
        }
        for (mean, gap) in self.mean.iter_mut().zip(&gap) {
            *mean += gap * m / (n + m);
        }
        self.count += other.count;
    }
}
