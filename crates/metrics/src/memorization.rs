//! Whether a generator repeats its training images, from nearest neighbors in feature space.
//!
//! For every generated `y`, with the nearest training image at distance `t(y)` and the nearest of as
//! many held-out images at `h(y)`:
//!
//! ```text
//! share = share of y with t(y) < h(y), equal distances counting half
//! ratio = median over y of t(y) / h(y)
//! ```
//!
//! Held-out images come from the same source, so a generator that has learnt and not copied is as
//! near to them as to those that it was trained on: half, and 1 (the test of Meehan et al. 2020,
//! arXiv:2004.05675, without its cells). Copies give 1, and 0. The sets must be of one size, for the
//! nearest of more images is nearer.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::prdc::{Points, mean};
use crate::rows::{at_least, same_dim};
use crate::tiles::ranges;
use crate::{Error, Result, Rows};

/// How near generated images are to training images, against held-out ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memorization {
    /// Share of the generated images that are nearer to a training image; 0.5 is none the wiser.
    pub share: f64,
    /// Median of the ratio of the two distances.
    pub ratio: f64,
    /// Training images, and held-out images, that were compared with.
    pub images: usize,
    /// The generated images with the smallest ratios, the smallest first.
    pub nearest: Vec<NearestPair>,
    /// What each generated image counts for in the share: 1, ½ or 0.
    #[serde(skip)]
    pub(crate) wins: Vec<f64>,
}

/// A generated image and the training image that it is nearest to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearestPair {
    /// Row of the generated image.
    pub generated: usize,
    /// Row of the training image.
    pub training: usize,
    /// Its distance, over that of the nearest held-out image.
    pub ratio: f64,
}

/// The figures of the module, and the `pairs` generated images with the smallest ratios.
///
/// # Errors
///
/// If the dimensions differ, a set is empty, or training and held-out sets differ in size.
pub fn memorization(
    generated: &Rows,
    training: &Rows,
    held_out: &Rows,
    pairs: usize,
) -> Result<Memorization> {
    same_dim(training, generated)?;
    same_dim(held_out, generated)?;
    at_least("generated images", 1, generated.len())?;
    at_least("training images", 1, training.len())?;
    if training.len() != held_out.len() {
        let (expected, found) = (training.len(), held_out.len());
        return Err(Error::Size {
            what: "held-out images, as many as training images",
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

/// What a ratio counts for.
fn win(ratio: f64) -> f64 {
    match ratio.total_cmp(&1.0) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 0.0,
    }
}

/// Of two squared distances; of two equal ones 1, 0 included.
fn ratio(near: f64, far: f64) -> f64 {
    if near == far { 1.0 } else { (near / far).sqrt() }
}

/// For each row of `x` the squared distance to the nearest row of `y`, and which that is.
fn nearest(x: &Rows, y: &Rows) -> Vec<(f64, usize)> {
    // Distances do not see a translation; products lose fewer digits near the origin.
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
