//! Kernel Inception distance: the squared maximum mean discrepancy under a cubic kernel.
//!
//! ```text
//! k(x, y) = (x·y / D + 1)³
//! KID = Σ_{i≠j} k(xᵢ, xⱼ) / (n(n−1)) + Σ_{i≠j} k(yᵢ, yⱼ) / (m(m−1)) − 2 Σᵢⱼ k(xᵢ, yⱼ) / (nm)
//! ```
//!
//! (Bińkowski et al. 2018, arXiv:1801.01401, Eq. 4.) The estimate is unbiased. It can be negative
//! for equal distributions, and is comparable between sets of different sizes, unlike the Fréchet
//! distance.

use kernels::noise::NoiseStream;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::matrix::{at_least, same_dim};
use crate::tiles::{block, products, ranges};
use crate::{Error, Matrix, Result};

/// Noise stream of the subsets, different from every stream of a run.
const SUBSET_STREAM: u32 = 0x4b49_4400;

/// Computes KID over whole sets.
///
/// # Errors
///
/// If the dimensions differ or a set has fewer than two rows.
pub fn kid(x: &Matrix, y: &Matrix) -> Result<f64> {
    same_dim(x, y)?;
    at_least("KID", 2, x.len().min(y.len()))?;
    let (n, m) = (x.len() as f64, y.len() as f64);
    let within_x = within(x) / (n * (n - 1.0));
    let within_y = within(y) / (m * (m - 1.0));
    Ok(within_x + within_y - 2.0 * across(x, y) / (n * m))
}

/// KID over random subsets, as in older tables.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KidSubsets {
    /// Mean over the subsets: an estimate of the same quantity as [`kid`], with more variance.
    pub mean: f64,
    /// Standard deviation over the subsets, with their number as divisor. It depends on the size of
    /// the subsets and not on their number, so it is not the standard error of the mean.
    pub std: f64,
    /// Number of subsets of each set.
    pub subsets: usize,
    /// Rows in a subset.
    pub size: usize,
}

/// Computes KID over `subsets` pairs of random subsets of `size` distinct rows.
///
/// # Errors
///
/// If `subsets` is 0, a set is smaller than `size`, or as [`kid`].
pub fn kid_subsets(
    x: &Matrix,
    y: &Matrix,
    subsets: usize,
    size: usize,
    seed: u64,
) -> Result<KidSubsets> {
    at_least("KID subset", size, x.len().min(y.len()))?;
    let stream = NoiseStream::new(seed, SUBSET_STREAM);
    let draw = |i: usize, len| subset(stream, i as u64, len, size);
    kid_of_subsets(x, y, (0..subsets).map(|i| [draw(2 * i, x.len()), draw(2 * i + 1, y.len())]))
}

/// Computes KID over the given pairs of subsets.
pub(crate) fn kid_of_subsets(
    x: &Matrix,
    y: &Matrix,
    subsets: impl Iterator<Item = [Vec<usize>; 2]>,
) -> Result<KidSubsets> {
    let mut size = 0;
    let values: Vec<f64> = subsets
        .inspect(|[i, _]| size = i.len())
        .map(|[i, j]| kid(&x.select(&i), &y.select(&j)))
        .collect::<Result<_>>()?;
    if values.is_empty() {
        let (found, allowed) = ("0".to_owned(), "1 or more".to_owned());
        return Err(Error::Setting { what: "number of KID subsets", found, allowed });
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    Ok(KidSubsets { mean, std: variance.sqrt(), subsets: values.len(), size })
}

/// Draws `size` distinct indices below `len` by the first steps of Fisher and Yates' shuffle.
fn subset(stream: NoiseStream, position: u64, len: usize, size: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..len).collect();
    for i in 0..size {
        let step = stream.below(position, i as u32, (len - i) as u64) as usize;
        indices.swap(i, i + step);
    }
    indices.truncate(size);
    indices
}

/// Computes `Σ_{i≠j} k(xᵢ, xⱼ)`.
fn within(x: &Matrix) -> f64 {
    within_tiles(x, |_, _, kernel| kernel.iter().sum::<f64>()).into_iter().sum()
}

/// Computes `Σᵢⱼ k(xᵢ, yⱼ)`.
fn across(x: &Matrix, y: &Matrix) -> f64 {
    across_tiles(x, y, |_, _, kernel| kernel.iter().sum::<f64>()).into_iter().sum()
}

/// Calls `f(i, j, kernel)` for tiles that cover all pairs (i, j) with `i ≠ j` of rows of `x`.
///
/// `i` and `j` are the first rows of the tile, `kernel` has its values row by row. A tile off the
/// diagonal is doubled and includes its transpose; on the diagonal `k(xᵢ, xᵢ)` is 0.
pub(crate) fn within_tiles<R: Send>(
    x: &Matrix,
    f: impl Fn(usize, usize, &[f64]) -> R + Sync,
) -> Vec<R> {
    let ranges = ranges(x.len());
    let pairs: Vec<_> =
        (0..ranges.len()).flat_map(|i| (i..ranges.len()).map(move |j| (i, j))).collect();
    let tile = |&(i, j): &(usize, usize)| {
        let mut kernel = kernel(x, &ranges[i], x, &ranges[j]);
        if i == j {
            kernel.iter_mut().step_by(ranges[i].len() + 1).for_each(|k| *k = 0.0)
        } else {
            kernel.iter_mut().for_each(|k| *k *= 2.0)
        }
        f(ranges[i].start, ranges[j].start, &kernel)
    };
    pairs.par_iter().map(tile).collect()
}

/// Calls `f(i, j, kernel)` for tiles that cover all pairs of a row of `x` and a row of `y`.
pub(crate) fn across_tiles<R: Send>(
    x: &Matrix,
    y: &Matrix,
    f: impl Fn(usize, usize, &[f64]) -> R + Sync,
) -> Vec<R> {
    let (rows, columns) = (ranges(x.len()), ranges(y.len()));
    let pairs: Vec<_> = rows.iter().flat_map(|i| columns.iter().map(move |j| (i, j))).collect();
    pairs.par_iter().map(|&(i, j)| f(i.start, j.start, &kernel(x, i, y, j))).collect()
}

fn kernel(
    x: &Matrix,
    i: &std::ops::Range<usize>,
    y: &Matrix,
    j: &std::ops::Range<usize>,
) -> Vec<f64> {
    let dim = x.dim();
    let origin = vec![0.0; dim];
    let mut kernel = products(&block(x, i, &origin), &block(y, j, &origin), dim);
    kernel.iter_mut().for_each(|k| *k = (*k / dim as f64 + 1.0).powi(3));
    kernel
}
