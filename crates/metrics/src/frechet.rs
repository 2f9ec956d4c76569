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
//! `S₁ S₂` is not symmetric, and its Schur square root breaks down if a covariance is singular, as
//! it is for fewer images than features. Here each covariance is factored as `S = L Lᵀ` with
//! `L = U Λ^½` from its symmetric eigenvalues, and `tr (S₁^½ S₂ S₁^½)^½ = ‖L₁ᵀ L₂‖_*`, the sum of
//! the singular values of a product of the factors. Square roots of the eigenvalues of
//! `S₁^½ S₂ S₁^½` would be less accurate: an eigenvalue that is 1e-16 in place of 0 has the root
//! 1e-8, and there are up to a thousand of them.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::{evd, svd};
use faer::{Accum, Mat, MatRef, Par};

use crate::{Error, Result};

/// Largest asymmetry attributed to rounding, relative to the largest entry of a covariance.
const SYMMETRY: f64 = 1e-6;

/// Largest negative eigenvalue attributed to rounding, relative to the largest eigenvalue.
const DEFINITENESS: f64 = 1e-6;

/// Mean `[D]` and covariance `[D, D]` of features, finite and symmetric.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl Gaussian {
    /// Makes a Gaussian of a mean and a covariance, row by row.
    ///
    /// # Errors
    ///
    /// If the sizes do not agree, a value is not finite, or the covariance is not symmetric. An
    /// asymmetry from rounding is averaged out.
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

/// Computes the Fréchet distance of two Gaussians. It is not negative, and 0 only for equal
/// Gaussians.
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

/// A Fréchet distance with its gradient, from [`FrechetReference::gradient`].
#[derive(Clone, Debug, PartialEq)]
pub struct FrechetGradient {
    /// The distance.
    pub distance: f64,
    /// Its gradient in the mean, `[D]`.
    pub mean: Vec<f64>,
    /// Its gradient in the covariance, `[D, D]`, symmetric, row by row.
    pub covariance: Vec<f64>,
}

/// Reference side of the distance, decomposed once for many comparisons.
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

    /// Computes the Fréchet distance of `other` from the reference.
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

    /// Computes the distance of `other` with its gradient.
    ///
    /// ```text
    /// ∂FD/∂μ = 2 (μ − μ_r),    ∂FD/∂S = 1 − T,    T = L (Lᵀ S L)^-½ Lᵀ,    S_r = L Lᵀ
    /// ```
    ///
    /// `T` is the optimal transport map from `N(0, S)` to `N(0, S_r)`. Directions in which `Lᵀ S L` is
    /// singular, where the gradient is infinite, are left out of `T`.
    ///
    /// # Errors
    ///
    /// As [`frechet_distance`].
    pub fn gradient(&self, other: &Gaussian) -> Result<FrechetGradient> {
        same_dim(&self.gaussian, other)?;
        let (dim, rank) = (other.dim(), self.factor.ncols());
        let covariance = MatRef::from_row_major_slice(&other.covariance, dim, dim);
        let mut half = Mat::<f64>::zeros(dim, rank);
        matmul(&mut half, Accum::Replace, covariance, &self.factor, 1.0, Par::Seq);
        let mut inner = Mat::<f64>::zeros(rank, rank);
        matmul(&mut inner, Accum::Replace, self.factor.transpose(), &half, 1.0, Par::Seq);
        let (values, vectors) = symmetric_eigen(inner.as_ref())?;
        let largest = values.iter().fold(0.0, |largest: f64, &it| largest.max(it));
        let noise = dim as f64 * f64::EPSILON * largest;
        let kept: Vec<usize> = (0..rank).filter(|&i| noise < values[i]).collect();
        let overlap = kept.iter().map(|&i| values[i].sqrt()).sum();
        // T = M Mᵀ with M = L U Λ^-¼.
        let scaled = Mat::from_fn(rank, kept.len(), |row, i| {
            vectors[(row, kept[i])] * values[kept[i]].powf(-0.25)
        });
        let mut root = Mat::<f64>::zeros(dim, kept.len());
        matmul(&mut root, Accum::Replace, &self.factor, &scaled, 1.0, Par::Seq);
        let mut transport = Mat::<f64>::zeros(dim, dim);
        matmul(&mut transport, Accum::Replace, &root, root.transpose(), 1.0, Par::Seq);
        let means = other.mean.iter().zip(&self.gaussian.mean);
        let identity = |i: usize, j: usize| f64::from(u8::from(i == j));
        let entry = |at: usize| identity(at / dim, at % dim) - transport[(at / dim, at % dim)];
        Ok(FrechetGradient {
            distance: self.of_parts(&other.mean, trace(other), overlap),
            mean: means.map(|(a, b)| 2.0 * (a - b)).collect(),
            covariance: (0..dim * dim).map(entry).collect(),
        })
    }

    /// Computes the distance of a Gaussian from its mean, the trace of its covariance, and
    /// `tr (Lᵀ S L)^½`.
    pub(crate) fn of_parts(&self, mean: &[f64], trace_of_other: f64, overlap: f64) -> f64 {
        let means = self.gaussian.mean.iter().zip(mean);
        let between: f64 = means.map(|(a, b)| (a - b).powi(2)).sum();
        let spread = trace(&self.gaussian) + trace_of_other;
        // The exact value is not negative; rounding can make the last digit of `spread` negative.
        (between + spread - 2.0 * overlap).max(0.0)
    }

    /// Computes `rows · L` for rows `[N, D]`, rotated to at most N columns: `[N, ≤ N]`. The inner
    /// products of the rows are preserved.
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

/// Computes `L` `[D, r]` such that `L Lᵀ` is the covariance; `r` is its numerical rank.
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
    // Rounding error of an eigenvalue 0: the usual threshold of a matrix rank.
    let noise = dim as f64 * f64::EPSILON * largest;
    let kept: Vec<usize> = (0..dim).filter(|&i| noise < values[i]).collect();
    Ok(Mat::from_fn(dim, kept.len(), |row, i| vectors[(row, kept[i])] * values[kept[i]].sqrt()))
}

/// Computes the ascending eigenvalues and the eigenvectors, in columns, of a symmetric matrix.
fn symmetric_eigen(matrix: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let mut vectors = Mat::<f64>::zeros(matrix.nrows(), matrix.nrows());
    let values = decompose(matrix, Some(&mut vectors))?;
    Ok((values, vectors))
}

/// Computes the ascending eigenvalues of a symmetric matrix `[D, D]`.
pub(crate) fn eigenvalues(matrix: &[f64], dim: usize) -> Result<Vec<f64>> {
    decompose(MatRef::from_row_major_slice(matrix, dim, dim), None)
}

fn decompose(matrix: MatRef<'_, f64>, vectors: Option<&mut Mat<f64>>) -> Result<Vec<f64>> {
    let dim = matrix.nrows();
    let mut values = vec![0.0; dim];
    let params = faer::Spec::default();
    let compute = match vectors {
        Some(_) => evd::ComputeEigenvectors::Yes,
        None => evd::ComputeEigenvectors::No,
    };
    let scratch = evd::self_adjoint_evd_scratch::<f64>(dim, compute, Par::Seq, params);
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

/// Computes `‖Aᵀ B‖_*`, the sum of the singular values of the product.
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
