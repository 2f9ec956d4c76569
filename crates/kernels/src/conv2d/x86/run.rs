//! Shape of the vectors that one product of sums reads.

/// Rows of vectors.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Number of rows.
    pub(crate) rows: usize,
    /// Vectors of a row.
    pub(crate) vectors: usize,
    /// Elements from the end of a row to the start of the next, of the gradient.
    pub(crate) grad_gap: usize,
    /// The same of `x`.
    pub(crate) x_gap: usize,
}
