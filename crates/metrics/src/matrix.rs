//! Matrices of finite values, one row per sample: the form of features and logits in all metrics.

use crate::{Error, Result};

/// A matrix `[N, D]` of finite values, row by row, with one row per sample.
///
/// Finiteness is checked once, by [`Matrix::new`], so that no statistic has to handle NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    values: Vec<f32>,
    dim: usize,
}

impl Matrix {
    /// Makes a matrix of rows of `dim` values; `what` names it in errors.
    ///
    /// # Errors
    ///
    /// If `dim` is 0 or does not divide the number of values, or a value is not finite.
    pub fn new(what: &'static str, values: Vec<f32>, dim: usize) -> Result<Self> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            let expected = values.len().next_multiple_of(dim.max(1));
            return Err(Error::Size { what, expected, found: values.len() });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(Error::NonFinite { what, row: index / dim }),
            None => Ok(Self { values, dim }),
        }
    }

    /// Number of rows, `N`.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Tests for a matrix without rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values in a row, `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Iterates over the rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// Row `index`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// Selects the rows at `indices`, in this order, with repetition if an index repeats.
    ///
    /// # Panics
    ///
    /// If an index is not below [`Self::len`].
    pub fn select(&self, indices: &[usize]) -> Self {
        let values = indices.iter().flat_map(|&index| self.row(index)).copied().collect();
        Self { values, dim: self.dim }
    }
}

/// Checks that two matrices have the same number of columns, and returns it.
pub(crate) fn same_dim(x: &Matrix, y: &Matrix) -> Result<usize> {
    if x.dim == y.dim {
        Ok(x.dim)
    } else {
        Err(Error::Size { what: "feature dimension", expected: x.dim, found: y.dim })
    }
}

/// Checks that a set is large enough for a statistic.
pub(crate) fn at_least(what: &'static str, needed: usize, found: usize) -> Result<()> {
    if needed <= found { Ok(()) } else { Err(Error::TooFew { what, needed, found }) }
}
