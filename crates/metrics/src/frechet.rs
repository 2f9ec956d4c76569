//! Fréchet distance between Gaussians fitted to features: FID when the features are Inception's.
//!
//! ```text
//! FD² = |μ₁ − μ₂|² + tr S₁ + tr S₂ − 2 tr (S₁^½ S₂ S₁^½)^½
//! ```
//!
//! (Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X; Heusel et al. 2017,
//! arXiv:1706.08500, Eq. 6.) The field calls this square "the distance", and so does the code.
//!
//! # Why not a matrix square root
//!
//! `S₁ S₂` is not symmetric, and a Schur square root of it breaks down when a covariance is
//! singular, as it is with fewer images than features. Here each covariance is split as `S = L Lᵀ`
//! with `L = U Λ^½` from its symmetric eigenvalues, and
//! `tr (S₁^½ S₂ S₁^½)^½ = ‖L₁ᵀ L₂‖_*`, the sum of the singular values of a product of the factors.
//! Taking singular values of the factors, rather than eigenvalues of `S₁^½ S₂ S₁^½` and then their
//! roots, keeps all digits: the root of an eigenvalue that should be 0 and is 1e-16 would count
//! 1e-8, a thousand times over.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::{evd, svd};
use faer::{Accum, Mat, MatRef, Par};

use crate::{Error, Result};

/// Asymmetry that is taken for rounding, relative to the largest entry of a covariance.
const SYMMETRY: f64 = 1e-6;

/// Negative eigenvalue that is taken for rounding, relative to the largest one.
const DEFINITENESS: f64 = 1e-6;

/// Mean `[D]` and covariance `[D, D]`, row by row, of features; finite and symmetric.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl Gaussian {
    /// Takes a mean and a covariance.
    ///
    /// # Errors
    ///
    /// If the sizes do not agree, a number is not finite, or the covariance is not symmetric
    /// (asymmetry of rounding is averaged away).
    pub fn new(mean: Vec<f64>, mut covariance: Vec<f64>) -> Result<Self> {
        let dim = mean.len();
        let expected = dim * dim;
        if expected == 0 || covariance.len() != expected {
            let found = covariance.len();
            return Err(Error::Size { what: "covariance", expected: expected.max(1), found });
        }
        let largest = covariance.iter().fold(0.0, |largest: f64, s| largest.max(s.abs()));
        if let Some(row) = mean.iter().position(|x| !x.is_finite()) {
            return Err(Error::NonFinite { what: "mean", row });
        }
        if let Some(index) = covariance.iter().position(|x| !x.is_finite()) {
            return Err(Error::NonFinite { what: "covariance", row: index / dim });
        }
        for i in 0..dim {
            for j in 0..i {
                let (below, above) = (covariance[i * dim + j], covariance[j * dim + i]);
                if SYMMETRY * largest < (below - above).abs() {
                    let reason = format!("not symmetric at row {i}, column {j}");
                    return Err(Error::Covariance { reason });
                }
                let middle = below / 2.0 + above / 2.0;
                covariance[i * dim + j] = middle;
                covariance[j * dim + i] = middle;
            }
        }
        Ok(Self { mean, covariance })
    }

    /// Number of features, `D`.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The mean, `[D]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The covariance, `[D, D]`, row by row.
    pub fn covariance(&self) -> &[f64] {
        &self.covariance
    }
}

/// The Fréchet distance (see the module) of two Gaussians. Non-negative; 0 only for equal ones.
///
/// ```
/// # use uni_instruct_metrics::{Gaussian, frechet_distance};
/// // In one dimension, FD = (μ₁ − μ₂)² + (σ₁ − σ₂)².
/// let a = Gaussian::new(vec![0.0], vec![4.0])?;
/// let b = Gaussian::new(vec![3.0], vec![1.0])?;
/// assert!((frechet_distance(&a, &b)? - 10.0).abs() < 1e-12);
/// # Ok::<(), uni_instruct_metrics::Error>(())
/// ```
///
/// # Errors
///
/// If the dimensions differ, or a covariance has a clearly negative eigenvalue.
pub fn frechet_distance(a: &Gaussian, b: &Gaussian) -> Result<f64> {
    same_dim(b, a)?;
    let (reference, factor) = rayon::join(|| FrechetReference::new(b.clone()), || factor(a));
    reference?.distance_to(a, &factor?)
}

/// One side of the distance, decomposed once to be compared with many.
#[derive(Debug)]
pub struct FrechetReference {
    gaussian: Gaussian,
    factor: Mat<f64>,
}

impl FrechetReference {
    /// Decomposes the covariance.
    ///
    /// # Errors
    ///
    /// If it has a clearly negative eigenvalue.
    pub fn new(gaussian: Gaussian) -> Result<Self> {
        let factor = factor(&gaussian)?;
        Ok(Self { gaussian, factor })
    }

    /// The Fréchet distance of `other` from this.
    ///
    /// # Errors
    ///
    /// As [`frechet_distance`].
    pub fn distance(&self, other: &Gaussian) -> Result<f64> {
        same_dim(&self.gaussian, other)?;
        self.distance_to(other, &factor(other)?)
    }

    fn distance_to(&self, other: &Gaussian, other_factor: &Mat<f64>) -> Result<f64> {
        let overlap = nuclear_norm_of_product(other_factor, &self.factor)?;
        Ok(self.of_parts(&other.mean, trace(other), overlap))
    }

    /// The distance of a Gaussian with this mean, trace of its covariance, and `tr (Lᵀ S L)^½`.
    pub(crate) fn of_parts(&self, mean: &[f64], trace_of_other: f64, overlap: f64) -> f64 {
        let means = self.gaussian.mean.iter().zip(mean);
        let between: f64 = means.map(|(a, b)| (a - b).powi(2)).sum();
        let spread = trace(&self.gaussian) + trace_of_other;
        // The true value is not negative; rounding may leave the last digit of `spread` below 0.
        (between + spread - 2.0 * overlap).max(0.0)
    }

    /// `rows · L` for rows `[N, D]`, turned so that it has no more than N columns: `[N, ≤ N]`. Inner
    /// products of the rows stay.
    pub(crate) fn project(&self, rows: &Mat<f64>) -> Result<Mat<f64>> {
        let mut projected = Mat::zeros(rows.nrows(), self.factor.ncols());
        matmul(&mut projected, Accum::Replace, rows, &self.factor, 1.0, Par::rayon(0));
        let count = projected.nrows();
        if projected.ncols() <= count {
            return Ok(projected);
        }
        let mut products = Mat::<f64>::zeros(count, count);
        matmul(
            &mut products,
            Accum::Replace,
            &projected,
            projected.transpose(),
            1.0,
            Par::rayon(0),
        );
        let (values, vectors) = symmetric_eigen(products.as_ref())?;
        Ok(Mat::from_fn(count, count, |i, j| vectors[(i, j)] * values[j].max(0.0).sqrt()))
    }
}

fn same_dim(expected: &Gaussian, found: &Gaussian) -> Result<()> {
    let (expected, found) = (expected.dim(), found.dim());
    if expected == found {
        Ok(())
    } else {
        Err(Error::Size { what: "feature dimension", expected, found })
    }
}

fn trace(gaussian: &Gaussian) -> f64 {
    gaussian.covariance.iter().step_by(gaussian.dim() + 1).sum()
}

/// `L` `[D, r]` with `L Lᵀ` the covariance and `r` its numerical rank.
fn factor(gaussian: &Gaussian) -> Result<Mat<f64>> {
    let dim = gaussian.dim();
    let (values, vectors) =
        symmetric_eigen(MatRef::from_row_major_slice(&gaussian.covariance, dim, dim))?;
    let largest = values.iter().fold(0.0, |largest: f64, &l| largest.max(l));
    let smallest = values.iter().fold(0.0, |smallest: f64, &l| smallest.min(l));
    if smallest < -DEFINITENESS * largest {
        let reason =
            format!("has a negative eigenvalue, {smallest:e} (the largest is {largest:e})");
        return Err(Error::Covariance { reason });
    }
    // What rounding leaves of an eigenvalue 0: the same threshold as for a matrix rank.
    let noise = dim as f64 * f64::EPSILON * largest;
    let kept: Vec<usize> = (0..dim).filter(|&i| noise < values[i]).collect();
    Ok(Mat::from_fn(dim, kept.len(), |row, i| vectors[(row, kept[i])] * values[kept[i]].sqrt()))
}

/// Eigenvalues, ascending, and eigenvectors, in columns, of a symmetric matrix.
fn symmetric_eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let mut vectors = Mat::<f64>::zeros(matrix.nrows(), matrix.nrows());
    let values = decompose(matrix, Some(&mut vectors))?;
    Ok((values, vectors))
}

/// Eigenvalues, ascending, of a symmetric matrix `[D, D]`.
pub(crate) fn eigenvalues(matrix: &[f64], dim: usize) -> Result<Vec<f64>> {
    decompose(MatRef::from_row_major_slice(matrix, dim, dim), None)
}

fn decompose(matrix: MatRef<'_, f64>, vectors: Option<&mut Mat<f64>>) -> Result<Vec<f64>> {
    let dim = matrix.nrows();
    let mut values = vec![0.0; dim];
    let params = faer::Spec::default();
    let wanted = match vectors {
        Some(_) => evd::ComputeEigenvectors::Yes,
        None => evd::ComputeEigenvectors::No,
    };
    let scratch = evd::self_adjoint_evd_scratch::<f64>(dim, wanted, Par::Seq, params);
    evd::self_adjoint_evd(
        matrix,
        faer::diag::DiagMut::from_slice_mut(&mut values),
        vectors.map(Mat::as_mut),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        params,
    )
    .map_err(|_| Error::NoConvergence { what: "eigenvalues of a covariance" })?;
    Ok(values)
}

/// `‖Aᵀ B‖_*`, the sum of the singular values of the product.
fn nuclear_norm_of_product(a: &Mat<f64>, b: &Mat<f64>) -> Result<f64> {
    let (rows, columns) = (a.ncols(), b.ncols());
    if rows == 0 || columns == 0 {
        return Ok(0.0);
    }
    let mut product = Mat::<f64>::zeros(rows, columns);
    matmul(&mut product, Accum::Replace, a.transpose(), b, 1.0, Par::Seq);
    let mut values = vec![0.0; rows.min(columns)];
    let params = faer::Spec::default();
    let none = svd::ComputeSvdVectors::No;
    let scratch = svd::svd_scratch::<f64>(rows, columns, none, none, Par::Seq, params);
    svd::svd(
        product.as_ref(),
        faer::diag::DiagMut::from_slice_mut(&mut values),
        None,
        None,
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        params,
    )
    .map_err(|_| Error::NoConvergence { what: "singular values of two covariances" })?;
    Ok(values.iter().sum())
}
