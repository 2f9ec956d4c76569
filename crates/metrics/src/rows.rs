//! Rows of finite numbers: the form in which features and logits reach every statistic.

use crate::{Error, Result};

/// `N` rows of `D` finite numbers, `[N, D]` row by row.
///
/// Finiteness is checked once, here, so that no statistic has to ask what a NaN means.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    values: Vec<f32>,
    dim: usize,
}

impl Rows {
    /// Takes `values` as rows of `dim` numbers; `what` names them in errors.
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

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers in a row, `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows, in order.
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

    /// The rows at `indices`, in that order, repeated where an index repeats.
    ///
    /// # Panics
    ///
    /// If an index is not below [`Self::len`].
    pub fn select(&self, indices: &[usize]) -> Self {
        let values = indices.iter().flat_map(|&index| self.row(index)).copied().collect();
        Self { values, dim: self.dim }
    }
}

/// Checks that two sets live in the same feature space.
pub(crate) fn same_dim(x: &Rows, y: &Rows) -> Result<usize> {
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
