//! Precision, recall, density and coverage, from nearest neighbours in feature space.
//!
//! With `r(x)` the distance of a sample to its `k`-th nearest neighbour within its own set, for
//! references `x` and generated `y`:
//!
//! ```text
//! precision = share of y with |x − y| < r(x) for some x
//! recall    = share of x with |x − y| < r(y) for some y      (Kynkäänniemi et al., arXiv:1904.06991)
//! density   = mean over y of the number of x with |x − y| < r(x), divided by k
//! coverage  = share of x with |x − y| < r(x) for some y           (Naeem et al., arXiv:2002.09797)
//! ```
//!
//! Precision and recall count one far-off reference as much as a hundred close ones; density and
//! coverage do not, and are the pair to trust where the reference has outliers.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::rows::{at_least, same_dim};
use crate::tiles::{block, products, ranges};
use crate::{Error, Result, Rows};

/// Squared distances below this share of the squared norms are rounding, and taken for 0.
///
/// They come from `|x|² + |y|² − 2 x·y` in f64, which leaves some ε (|x|² + |y|²) of equal rows.
const RESOLUTION: f64 = 64.0 * f64::EPSILON;

/// How well generated samples and references cover each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prdc {
    /// Share of the generated samples within the references' manifold, in [0, 1].
    pub precision: f64,
    /// Share of the references within the generated samples' manifold, in [0, 1].
    pub recall: f64,
    /// Neighbourhoods of references around a generated sample, over `k`; about 1, may exceed it.
    pub density: f64,
    /// Share of the references with a generated sample in their neighbourhood, in [0, 1].
    pub coverage: f64,
}

/// The four figures (see the module) with the `k`-th nearest neighbour.
///
/// # Errors
///
/// If the dimensions differ, `k` is 0, or a set has not more than `k` rows.
pub fn prdc(generated: &Rows, reference: &Rows, k: usize) -> Result<Prdc> {
    let dim = same_dim(reference, generated)?;
    if k == 0 {
        let (found, allowed) = ("0".to_owned(), "1 or more".to_owned());
        return Err(Error::Setting { what: "number of neighbours k", found, allowed });
    }
    at_least("neighbours among generated images", k + 1, generated.len())?;
    at_least("neighbours among reference images", k + 1, reference.len())?;

    // Distances do not see a translation; products lose fewer digits near the origin.
    let origin = mean(reference);
    let reference = Points::new(reference, &origin);
    let generated = Points::new(generated, &origin);
    let reference_radius = reference.squared_radii(k);
    let generated_radius = generated.squared_radii(k);

    let tallies: Vec<Tally> = ranges(reference.rows.len())
        .par_iter()
        .map(|rows| tally(&reference, rows, &reference_radius, &generated, &generated_radius, dim))
        .collect();
    let mut covering = vec![0u32; generated.rows.len()];
    let (mut recalled, mut covered) = (0, 0);
    for tally in tallies {
        recalled += tally.recalled;
        covered += tally.covered;
        covering.iter_mut().zip(tally.covering).for_each(|(sum, count)| *sum += count);
    }
    let n = reference.rows.len() as f64;
    let m = generated.rows.len() as f64;
    let inside = covering.iter().filter(|&&count| count != 0).count();
    let neighbourhoods: u64 = covering.iter().map(|&count| u64::from(count)).sum();
    Ok(Prdc {
        precision: inside as f64 / m,
        recall: recalled as f64 / n,
        density: neighbourhoods as f64 / (k as f64 * m),
        coverage: covered as f64 / n,
    })
}

/// Counts over one tile of references, against all generated samples.
struct Tally {
    /// For each generated sample, the references of the tile whose neighbourhood it is in.
    covering: Vec<u32>,
    /// References inside the neighbourhood of some generated sample.
    recalled: usize,
    /// References with a generated sample in their own neighbourhood.
    covered: usize,
}

fn tally(
    reference: &Points<'_>,
    rows: &Range<usize>,
    reference_radius: &[f64],
    generated: &Points<'_>,
    generated_radius: &[f64],
    dim: usize,
) -> Tally {
    let mut covering = vec![0; generated.rows.len()];
    let mut recalled = vec![false; rows.len()];
    let mut covered = vec![false; rows.len()];
    let x = reference.block(rows);
    for columns in ranges(generated.rows.len()) {
        let distances = products(&x, &generated.block(&columns), dim);
        for (a, i) in rows.clone().enumerate() {
            for (b, j) in columns.clone().enumerate() {
                let product = distances[a * columns.len() + b];
                let squared = squared_distance(reference.norms[i], generated.norms[j], product);
                let within_reference = squared < reference_radius[i];
                covering[j] += u32::from(within_reference);
                covered[a] |= within_reference;
                recalled[a] |= squared < generated_radius[j];
            }
        }
    }
    let count = |flags: Vec<bool>| flags.into_iter().filter(|&flag| flag).count();
    Tally { covering, recalled: count(recalled), covered: count(covered) }
}

/// A set moved to an origin, with the squared norms of its rows.
pub(crate) struct Points<'a> {
    rows: &'a Rows,
    origin: &'a [f64],
    pub(crate) norms: Vec<f64>,
}

impl<'a> Points<'a> {
    pub(crate) fn new(rows: &'a Rows, origin: &'a [f64]) -> Self {
        let norm = |row: &[f32]| {
            row.iter().zip(origin).map(|(&x, o)| (f64::from(x) - o).powi(2)).sum::<f64>()
        };
        Self { rows, origin, norms: rows.iter().map(norm).collect() }
    }

    pub(crate) fn block(&self, range: &Range<usize>) -> Vec<f64> {
        block(self.rows, range, self.origin)
    }

    /// Squared distance of each row to its `k`-th nearest neighbour, itself left out.
    fn squared_radii(&self, k: usize) -> Vec<f64> {
        let tiles = ranges(self.rows.len());
        let radii = |rows: &Range<usize>| {
            let x = self.block(rows);
            let mut nearest = vec![Vec::with_capacity(k + 1); rows.len()];
            for columns in &tiles {
                let distances = products(&x, &self.block(columns), self.rows.dim());
                for (a, i) in rows.clone().enumerate() {
                    let others = columns.clone().enumerate().filter(|&(_, j)| j != i);
                    for (b, j) in others {
                        let product = distances[a * columns.len() + b];
                        let squared = squared_distance(self.norms[i], self.norms[j], product);
                        keep_smallest(&mut nearest[a], squared, k);
                    }
                }
            }
            nearest.into_iter().map(|nearest| nearest[k - 1]).collect::<Vec<f64>>()
        };
        tiles.par_iter().map(radii).collect::<Vec<_>>().concat()
    }
}

/// `|x − y|²` from the squared norms and the product, 0 where only rounding is left of it.
pub(crate) fn squared_distance(norm_x: f64, norm_y: f64, product: f64) -> f64 {
    let squared = norm_x + norm_y - 2.0 * product;
    if squared < RESOLUTION * (norm_x + norm_y) { 0.0 } else { squared }
}

/// Inserts `value` into an ascending list of at most `k` values.
fn keep_smallest(smallest: &mut Vec<f64>, value: f64, k: usize) {
    if smallest.len() == k && smallest.last().is_some_and(|&last| last <= value) {
        return;
    }
    let place = smallest.partition_point(|&other| other <= value);
    smallest.insert(place, value);
    smallest.truncate(k);
}

/// The mean row.
pub(crate) fn mean(rows: &Rows) -> Vec<f64> {
    let mut mean = vec![0.0; rows.dim()];
    for row in rows.iter() {
        mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x));
    }
    mean.iter_mut().for_each(|sum| *sum /= rows.len() as f64);
    mean
}
