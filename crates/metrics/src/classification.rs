//! Metrics of the class logits of a feature network: class accuracy and the Inception score.

use crate::matrix::{at_least, same_dim};
use crate::{Error, Matrix, Result};

/// Share of images whose largest logit belongs to the class they are conditioned on, in [0, 1].
///
/// # Errors
///
/// If there is no image, the number of labels is not the number of images, or a label is not a
/// class of the network.
pub fn class_accuracy(logits: &Matrix, labels: &[u32]) -> Result<f64> {
    Ok(share(&class_hits(logits, labels)?))
}

/// Tests for each image that its largest logit belongs to its label; of equal logits, the lower
/// class counts as the largest.
pub(crate) fn class_hits(logits: &Matrix, labels: &[u32]) -> Result<Vec<bool>> {
    at_least("class accuracy", 1, logits.len())?;
    if logits.len() != labels.len() {
        return Err(Error::Size {
            what: "number of labels",
            expected: logits.len(),
            found: labels.len(),
        });
    }
    let last = logits.dim() - 1;
    if let Some(image) = labels.iter().position(|&label| last < label as usize) {
        return Err(Error::Label { image, label: labels[image], last });
    }
    let hits = logits.iter().zip(labels);
    Ok(hits.map(|(row, &label)| largest(row) == label as usize).collect())
}

fn share(hits: &[bool]) -> f64 {
    hits.iter().filter(|&&hit| hit).count() as f64 / hits.len() as f64
}

fn largest(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, value)| if row[best] < *value { i } else { best })
}

/// Inception score `exp(E_x KL(p(c|x) ‖ p(c)))` over all images, in [1, K].
///
/// The original code (Salimans et al. 2016, arXiv:1606.03498) averages ten splits, which gives a
/// lower score; this function does not split.
///
/// # Errors
///
/// If there is no image.
pub fn inception_score(logits: &Matrix) -> Result<f64> {
    at_least("Inception score", 1, logits.len())?;
    Ok(Classes::of(logits).score(&vec![1; logits.len()]))
}

/// Divergence `KL(real ‖ generated)` of the shares of the predicted classes, in nats: 0 if each class has
/// the same share of both sets. A generator that omits a class has a large one.
///
/// The predicted class is the largest logit. Half an image is added to each class (Jeffreys' prior), so
/// that the divergence is finite for a class without generated images.
///
/// # Errors
///
/// If a set has no image, or the two have different classes.
pub fn class_divergence(generated: &Matrix, real: &Matrix) -> Result<f64> {
    let classes = same_dim(generated, real)?;
    let shares = |logits: &Matrix| -> Result<Vec<f64>> {
        at_least("class divergence", 1, logits.len())?;
        let mut counts = vec![0.5; classes];
        logits.iter().for_each(|row| counts[largest(row)] += 1.0);
        let total: f64 = counts.iter().sum();
        Ok(counts.into_iter().map(|count| count / total).collect())
    };
    let (generated, real) = (shares(generated)?, shares(real)?);
    Ok(real.iter().zip(&generated).map(|(p, q)| p * (p / q).ln()).sum())
}

/// Log-probabilities of the classes, `[N, K]`.
pub(crate) struct Classes {
    log_p: Vec<f64>,
    classes: usize,
}

impl Classes {
    pub(crate) fn of(logits: &Matrix) -> Self {
        Self { log_p: logits.iter().flat_map(log_softmax).collect(), classes: logits.dim() }
    }

    /// Computes the Inception score of the set in which image `i` occurs `weights[i]` times.
    pub(crate) fn score(&self, weights: &[u32]) -> f64 {
        let count: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let mut marginal = vec![0.0; self.classes];
        let mut negative_entropy = 0.0;
        for (row, &weight) in self.log_p.chunks_exact(self.classes).zip(weights) {
            let share = f64::from(weight) / count;
            for (sum, log_p) in marginal.iter_mut().zip(row) {
                let p = log_p.exp();
                *sum += share * p;
                // `p ln p` → 0 with p; for an underflowed p the product is 0.
                negative_entropy += share * p * log_p;
            }
        }
        let marginal_entropy: f64 =
            marginal.iter().filter(|&&p| 0.0 < p).map(|p| -p * p.ln()).sum();
        (negative_entropy + marginal_entropy).exp()
    }
}

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().fold(f64::NEG_INFINITY, |largest, &x| largest.max(f64::from(x)));
    let log_sum = row.iter().map(|&x| (f64::from(x) - largest).exp()).sum::<f64>().ln();
    row.iter().map(|&x| f64::from(x) - largest - log_sum).collect()
}
