//! Precision, recall, density and coverage, from nearest neighbors in feature space.
//!
//! Let `r(x)` be the distance of a sample to its `k`-th nearest neighbor within its set. For
//! references `x` and generated `y`:
//!
//! ```text
//! precision = share of y with |x − y| < r(x) for some x
//! recall    = share of x with |x − y| < r(y) for some y      (Kynkäänniemi et al., arXiv:1904.06991)
//! density   = mean over y of the number of x with |x − y| < r(x), divided by k
//! coverage  = share of x with |x − y| < r(x) for some y           (Naeem et al., arXiv:2002.09797)
//! ```
//!
//! In precision and recall, one outlier of the reference counts as much as a hundred typical
//! images. Density and coverage are robust to outliers.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::matrix::{at_least, same_dim};
use crate::tiles::{block, products, ranges};
use crate::{Error, Matrix, Result};

/// Default number of neighbors of the four metrics, `k`: the choice of Naeem et al. 2020
/// (arXiv:2002.09797).
///
/// Each set needs at least `NEIGHBORS + 1` images.
pub const NEIGHBORS: usize = 5;

/// Squared distances below this share of the squared norms are rounding errors, and set to 0.
///
/// They are computed as `|x|² + |y|² − 2 x·y` in f64, which is some ε (|x|² + |y|²) for equal rows.
const RESOLUTION: f64 = 64.0 * f64::EPSILON;

/// Precision, recall, density and coverage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prdc {
    /// Share of the generated samples within the references' manifold, in [0, 1].
    pub precision: f64,
    /// Share of the references within the generated samples' manifold, in [0, 1].
    pub recall: f64,
    /// Mean number of reference neighborhoods around a generated sample, over `k`; about 1, can
    /// exceed it.
    pub density: f64,
    /// Share of the references with a generated sample in their neighborhood, in [0, 1].
    pub coverage: f64,
}

/// Computes the four metrics with the `k`-th nearest neighbor: see [`NEIGHBORS`].
///
/// # Errors
///
/// If the dimensions differ, `k` is 0, or a set has at most `k` rows.
pub fn prdc(generated: &Matrix, reference: &Matrix, k: usize) -> Result<Prdc> {
    Ok(Neighborhoods::new(generated, reference, k, k)?.metrics(&vec![1; generated.len()]))
}

/// Neighbor relations, from which the metrics of any resample follow.
pub(crate) struct Neighborhoods {
    k: usize,
    /// For each generated sample, the number of references whose neighborhood it is in.
    covering: Vec<u32>,
    /// For each generated sample, its nearest others, the nearest first.
    nearest: Vec<Vec<Neighbor>>,
    /// For each reference, the generated samples in its neighborhood.
    covered_by: Vec<Vec<u32>>,
    /// For each reference, pairs `(j, rank)`: it is nearer to generated sample `j` than `j`'s
    /// neighbor number `rank`, from 0, for the smallest such `rank`.
    recalled_by: Vec<Vec<(u32, u32)>>,
}

/// Squared distance to a row, and its index.
type Neighbor = (f64, u32);

impl Neighborhoods {
    /// Finds neighborhoods of `k` neighbors; keeps `depth >= k` neighbors of generated samples.
    ///
    /// # Errors
    ///
    /// As [`prdc`].
    pub(crate) fn new(
        generated: &Matrix,
        reference: &Matrix,
        k: usize,
        depth: usize,
    ) -> Result<Self> {
        same_dim(reference, generated)?;
        if k == 0 {
            let (found, allowed) = ("0".to_owned(), "1 or more".to_owned());
            return Err(Error::Setting { what: "number of neighbors k", found, allowed });
        }
        at_least("neighbors among generated images", k + 1, generated.len())?;
        at_least("neighbors among reference images", k + 1, reference.len())?;

        // Distances are invariant to translation; products lose fewer digits near the origin.
        let origin = mean(reference);
        let reference = Points::new(reference, &origin);
        let generated = Points::new(generated, &origin);
        let radius: Vec<f64> = reference.nearest(k).iter().map(|it| it[k - 1].0).collect();
        let nearest = generated.nearest(depth);

        let of_tile = |rows: &Range<usize>| {
            let mut covered_by = vec![Vec::new(); rows.len()];
            let mut recalled_by = vec![Vec::new(); rows.len()];
            reference.pairs(rows, &generated, |i, j, squared| {
                if squared < radius[i] {
                    covered_by[i - rows.start].push(j as u32);
                }
                let own = &nearest[j];
                if squared < own[own.len() - 1].0 {
                    let rank = own.partition_point(|&(other, _)| other <= squared);
                    recalled_by[i - rows.start].push((j as u32, rank as u32));
                }
            });
            (covered_by, recalled_by)
        };
        let tiles: Vec<_> = ranges(reference.rows.len()).par_iter().map(of_tile).collect();
        let (covered_by, recalled_by): (Vec<_>, Vec<_>) = tiles.into_iter().unzip();
        let (covered_by, recalled_by) = (covered_by.concat(), recalled_by.concat());
        let mut covering = vec![0; generated.rows.len()];
        covered_by.iter().flatten().for_each(|&j| covering[j as usize] += 1);
        Ok(Self { k, covering, nearest, covered_by, recalled_by })
    }

    /// Computes the metrics of the set in which generated sample `j` occurs `weights[j]` times.
    ///
    /// Copies are not neighbors of each other, because a generator does not make an image twice.
    pub(crate) fn metrics(&self, weights: &[u32]) -> Prdc {
        let last: Vec<u32> = self.nearest.iter().map(|it| self.last(it, weights)).collect();
        let occurs = |j: u32| weights[j as usize] != 0;
        let share = |hits: usize| hits as f64 / self.covered_by.len() as f64;
        let recalled = |by: &&Vec<(u32, u32)>| {
            by.iter().any(|&(j, rank)| occurs(j) && rank <= last[j as usize])
        };
        let of_covering = |value: fn(u32) -> u32| -> f64 {
            let weighted = self.covering.iter().zip(weights);
            weighted.map(|(&count, &w)| u64::from(value(count)) * u64::from(w)).sum::<u64>() as f64
        };
        let count: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        Prdc {
            precision: of_covering(|it| it.min(1)) / count,
            recall: share(self.recalled_by.iter().filter(recalled).count()),
            density: of_covering(|it| it) / (self.k as f64 * count),
            coverage: share(
                self.covered_by.iter().filter(|by| by.iter().any(|&j| occurs(j))).count(),
            ),
        }
    }

    /// Rank of the `k`-th neighbor that occurs in the resample; the last rank kept if fewer occur.
    fn last(&self, nearest: &[Neighbor], weights: &[u32]) -> u32 {
        let mut occurring =
            nearest.iter().enumerate().filter(|(_, (_, j))| weights[*j as usize] != 0);
        occurring.nth(self.k - 1).map_or(nearest.len() - 1, |(at, _)| at) as u32
    }
}

/// A set relative to an origin, with the squared norms of its rows.
pub(crate) struct Points<'a> {
    rows: &'a Matrix,
    origin: &'a [f64],
    norms: Vec<f64>,
}

impl<'a> Points<'a> {
    pub(crate) fn new(rows: &'a Matrix, origin: &'a [f64]) -> Self {
        let norm = |row: &[f32]| {
            row.iter().zip(origin).map(|(&x, o)| (f64::from(x) - o).powi(2)).sum::<f64>()
        };
        Self { rows, origin, norms: rows.iter().map(norm).collect() }
    }

    fn block(&self, range: &Range<usize>) -> Vec<f64> {
        block(self.rows, range, self.origin)
    }

    /// Calls `f(i, j, |xᵢ − yⱼ|²)` for each row `i` of `rows` and each row `j` of `others`.
    pub(crate) fn pairs(
        &self,
        rows: &Range<usize>,
        others: &Points<'_>,
        mut f: impl FnMut(usize, usize, f64),
    ) {
        let x = self.block(rows);
        for columns in ranges(others.rows.len()) {
            let all = products(&x, &others.block(&columns), self.rows.dim());
            for (i, row) in rows.clone().zip(all.chunks_exact(columns.len())) {
                for (j, product) in columns.clone().zip(row) {
                    f(i, j, squared_distance(self.norms[i], others.norms[j], *product));
                }
            }
        }
    }

    /// Finds the `count` nearest others of each row, or all if there are fewer, the nearest first.
    fn nearest(&self, count: usize) -> Vec<Vec<Neighbor>> {
        let of_tile = |rows: &Range<usize>| {
            let mut nearest = vec![Vec::with_capacity(count + 1); rows.len()];
            self.pairs(rows, self, |i, j, squared| {
                if i != j {
                    keep_smallest(&mut nearest[i - rows.start], (squared, j as u32), count);
                }
            });
            nearest
        };
        ranges(self.rows.len()).par_iter().map(of_tile).collect::<Vec<_>>().concat()
    }
}

/// Computes `|x − y|²` from the squared norms and the product; 0 if only a rounding error is left.
pub(crate) fn squared_distance(norm_x: f64, norm_y: f64, product: f64) -> f64 {
    let squared = norm_x + norm_y - 2.0 * product;
    if squared < RESOLUTION * (norm_x + norm_y) { 0.0 } else { squared }
}

/// Inserts a neighbor into a list of at most `count`, the nearest first.
fn keep_smallest(smallest: &mut Vec<Neighbor>, new: Neighbor, count: usize) {
    if smallest.len() == count && smallest.last().is_some_and(|last| last.0 <= new.0) {
        return;
    }
    let place = smallest.partition_point(|other| other.0 <= new.0);
    smallest.insert(place, new);
    smallest.truncate(count);
}

/// Computes the mean row.
pub(crate) fn mean(rows: &Matrix) -> Vec<f64> {
    let mut mean = vec![0.0; rows.dim()];
    for row in rows.iter() {
        mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x));
    }
    mean.iter_mut().for_each(|sum| *sum /= rows.len() as f64);
    mean
}
