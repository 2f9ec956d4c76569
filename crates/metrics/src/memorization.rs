//! Test for copies of training images, from nearest neighbors in feature space.
//!
//! Let `t(y)` be the distance of a generated `y` to the nearest training image, and `h(y)` its
//! distance to the nearest of as many held-out images:
//!
//! ```text
//! share = share of y with t(y) < h(y), equal distances counting half
//! ratio = median over y of t(y) / h(y)
//! ```
//!
//! Training and held-out images have the same distribution. A generator that does not copy is
//! equally near to both: its share is 1/2 and its ratio 1. This is the test of Meehan et al. 2020
//! (arXiv:2004.05675) without its cells. A generator that only copies has share 1 and ratio 0. Both
//! sets must have the same size, because the nearest of more images is nearer.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::matrix::{at_least, same_dim};
use crate::prdc::{Points, mean};
use crate::tiles::ranges;
use crate::{Error, Matrix, Result};

/// Distances of generated images to training images, compared with held-out images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memorization {
    /// Share of the generated images that are nearer to a training image; 0.5 without copies.
    pub share: f64,
    /// Median of the ratio of the two distances.
    pub ratio: f64,
    /// Number of training images, and of held-out images.
    pub images: usize,
    /// The generated images with the smallest ratios, the smallest first.
    pub nearest: Vec<NearestPair>,
    /// Contribution of each generated image to the share: 1, ½ or 0.
    #[serde(skip)]
    pub(crate) wins: Vec<f64>,
}

/// A generated image and its nearest training image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearestPair {
    /// Row of the generated image.
    pub generated: usize,
    /// Row of the training image.
    pub training: usize,
    /// Distance to it, divided by the distance to the nearest held-out image.
    pub ratio: f64,
}

/// Computes share and ratio (see the module), and lists the `pairs` generated images with the
/// smallest ratios.
///
/// # Errors
///
/// If the dimensions differ, a set is empty, or training and held-out sets differ in size.
pub fn memorization(
    generated: &Matrix,
    training: &Matrix,
    held_out: &Matrix,
    pairs: usize,
) -> Result<Memorization> {
    same_dim(training, generated)?;
    same_dim(held_out, generated)?;
    at_least("generated images", 1, generated.len())?;
    at_least("training images", 1, training.len())?;
    if training.len() != held_out.len() {
        let (expected, found) = (training.len(), held_out.len());
        return Err(Error::Size {
            what: "held-out images (must equal the number of training images)",
            expected,
            found,
        });
    }
    let near = nearest(generated, training);
    let far = nearest(generated, held_out);
    let mut found: Vec<NearestPair> = near
        .iter()
        .zip(&far)
        .enumerate()
        .map(|(generated, (&(near, training), &(far, _)))| NearestPair {
            generated,
            training,
            ratio: ratio(near, far),
        })
        .collect();
    let wins: Vec<f64> = found.iter().map(|it| win(it.ratio)).collect();
    found.sort_by(|a, b| a.ratio.total_cmp(&b.ratio).then(a.generated.cmp(&b.generated)));
    let count = found.len();
    let median = (found[(count - 1) / 2].ratio + found[count / 2].ratio) / 2.0;
    found.truncate(pairs);
    Ok(Memorization {
        share: wins.iter().sum::<f64>() / count as f64,
        ratio: median,
        images: training.len(),
        nearest: found,
        wins,
    })
}

/// Contribution of a ratio to the share.
fn win(ratio: f64) -> f64 {
    match ratio.total_cmp(&1.0) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 0.0,
    }
}

/// Ratio of two distances from their squares; 1 if they are equal, even if both are 0.
fn ratio(near: f64, far: f64) -> f64 {
    if near == far { 1.0 } else { (near / far).sqrt() }
}

/// Finds for each row of `x` the nearest row of `y`: squared distance and index.
fn nearest(x: &Matrix, y: &Matrix) -> Vec<(f64, usize)> {
    // Distances are invariant to translation; products lose fewer digits near the origin.
    let origin = mean(y);
    let (left, right) = (Points::new(x, &origin), Points::new(y, &origin));
    let of_rows = |rows: &Range<usize>| {
        let mut best = vec![(f64::INFINITY, 0); rows.len()];
        left.pairs(rows, &right, |i, j, squared| {
            let best = &mut best[i - rows.start];
            if squared < best.0 {
                *best = (squared, j);
            }
        });
        best
    };
    ranges(x.len()).par_iter().map(of_rows).collect::<Vec<_>>().concat()
}
