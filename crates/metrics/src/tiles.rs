//! Inner products of many rows with many rows, a tile at a time, in f64.
//!
//! KID and the nearest-neighbor metrics need all N·M inner products, which would take 20 GB for
//! 50,000 images. A tile is computed by one matrix product on one thread, so that no metric depends
//! on the number of threads.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::Matrix;

/// Rows in a tile: two blocks of 2048 features and their tile nearly fit a second-level cache.
pub(crate) const TILE: usize = 256;

/// Index ranges of the tiles that cover `len` rows.
pub(crate) fn ranges(len: usize) -> Vec<Range<usize>> {
    (0..len.div_ceil(TILE)).map(|i| i * TILE..((i + 1) * TILE).min(len)).collect()
}

/// Copies the rows of `range`, minus `origin`, in f64.
pub(crate) fn block(rows: &Matrix, range: &Range<usize>, origin: &[f64]) -> Vec<f64> {
    let values = &rows.values()[range.start * rows.dim()..range.end * rows.dim()];
    let rows = values.chunks_exact(rows.dim());
    rows.flat_map(|row| row.iter().zip(origin).map(|(&x, o)| f64::from(x) - o)).collect()
}

/// Computes `X Yᵀ` `[n, m]` for `x` = X `[n, k]` and `y` = Y `[m, k]`, all row by row.
pub(crate) fn products(x: &[f64], y: &[f64], k: usize) -> Vec<f64> {
    let (n, m) = (x.len() / k, y.len() / k);
    let mut out = vec![0.0; n * m];
    matmul(
        MatMut::from_row_major_slice_mut(&mut out, n, m),
        Accum::Replace,
        MatRef::from_row_major_slice(x, n, k),
        MatRef::from_row_major_slice(y, m, k).transpose(),
        1.0,
        Par::Seq,
    );
    out
}
