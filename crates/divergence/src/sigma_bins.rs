//! Bins of `ln σ`, in which statistics are kept.

use crate::SigmaDistribution;

/// Bins of equal width in `ln σ` over the noise levels of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SigmaBins {
    low: f64,
    high: f64,
    count: usize,
}

impl SigmaBins {
    /// `count` bins over all but the outermost thousandths of a distribution.
    pub fn new(levels: &SigmaDistribution, count: usize) -> Self {
        const TAIL: f64 = 1e-3;
        Self { low: levels.sigma(TAIL).ln(), high: levels.sigma(1.0 - TAIL).ln(), count }
    }

    /// Number of bins.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The bin of a noise level; levels beyond the range belong to the outermost bins, and a value that
    /// is not a noise level to the first.
    pub fn index(&self, sigma: f64) -> usize {
        let place = self.count as f64 * (sigma.ln() - self.low) / (self.high - self.low);
        // The cast saturates.
        (place as usize).min(self.count.saturating_sub(1))
    }

    /// Smallest and largest noise level of a bin.
    pub fn range(&self, index: usize) -> [f64; 2] {
        let edge =
            |i: usize| (self.low + (self.high - self.low) * i as f64 / self.count as f64).exp();
        [edge(index), edge(index + 1)]
    }
}
