//! The moments of a channel in one pass, fused into loops that read the channel.

use crate::isa::compile_for_isa;
use crate::math::mul_add;
use crate::reduce::{LANES, fold};

/// Mean of a channel, and sum of squared distances to it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChannelMoments {
    pub(super) mean: f32,
    pub(super) squares: f32,
}

/// Sums of distances to a value near the mean, and of their squares. If the mean is large compared
/// with the deviation, the squares of the elements themselves would cancel.
pub(crate) struct Distances {
    from: f32,
    sums: [f32; LANES],
    squares: [f32; LANES],
    rest: [f32; 2],
}

impl Distances {
    /// Starts with the mean of a channel's first elements.
    #[inline(always)]
    pub(crate) fn from_mean_of(first: &[f32; LANES]) -> Self {
        Self::from(fold(*first) / LANES as f32)
    }

    /// Starts with a value near the mean.
    #[inline(always)]
    pub(crate) fn from(from: f32) -> Self {
        Self { from, sums: [0.0; LANES], squares: [0.0; LANES], rest: [0.0; 2] }
    }

    #[inline(always)]
    pub(crate) fn add<const FMA: bool>(&mut self, x: &[f32; LANES]) {
        for ((x, sum), squares) in x.iter().zip(&mut self.sums).zip(&mut self.squares) {
            let distance = x - self.from;
            *sum += distance;
            *squares = mul_add::<FMA>(distance, distance, *squares);
        }
    }

    /// Adds an element outside full vectors.
    #[inline(always)]
    pub(crate) fn add_one(&mut self, x: f32) {
        let distance = x - self.from;
        self.rest[0] += distance;
        self.rest[1] += distance * distance;
    }

    /// The moments of the `len` added elements.
    #[inline(always)]
    pub(crate) fn moments(self, len: usize) -> ChannelMoments {
        let sum = fold(self.sums) + self.rest[0];
        let mean = sum / len as f32;
        let squares = fold(self.squares) + self.rest[1] - sum * mean;
        // The comparison is false for NaN, so NaN propagates.
        let squares = if squares < 0.0 { 0.0 } else { squares };
        ChannelMoments { mean: self.from + mean, squares }
    }
}

compile_for_isa! {
    /// The moments of a channel.
    pub(in crate) fn measure(x: &[f32]) -> ChannelMoments = measure_of
}

#[inline(always)]
fn measure_of<const FMA: bool>(x: &[f32]) -> ChannelMoments {
    let (vectors, rest) = x.as_chunks::<LANES>();
    let mut distances = match (vectors.first(), rest.first()) {
        (Some(first), _) => Distances::from_mean_of(first),
        (None, first) => Distances::from(first.copied().unwrap_or_default()),
    };
    vectors.iter().for_each(|it| distances.add::<FMA>(it));
    rest.iter().for_each(|it| distances.add_one(*it));
    distances.moments(x.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::testing::normal;

    #[test]
    fn moments_are_exact_for_large_means_and_propagate_nan() {
        for (len, mean) in [(1, 3.0), (7, 0.0), (64, 1e3), (1000, -1e4), (4099, 1e2)] {
            let x = normal(len as u64, &[len]).to_vec1::<f32>().unwrap();
            let x: Vec<f32> = x.iter().map(|x| x + mean).collect();
            let exact: f64 = x.iter().map(|x| f64::from(*x)).sum::<f64>() / len as f64;
            let squares: f64 = x.iter().map(|x| (f64::from(*x) - exact).powi(2)).sum();
            for isa in Isa::all() {
                let got = measure(isa, &x);
                let off = (f64::from(got.mean) - exact).abs() / exact.abs().max(1.0);
                assert!(off < 2e-7, "{len} {mean} {isa:?}: mean is off by {off:.1e}");
                let off = (f64::from(got.squares) - squares).abs() / squares.max(1e-3);
                assert!(off < 1e-4, "{len} {mean} {isa:?}: squares are off by {off:.1e}");
                for odd in [f32::NAN, f32::INFINITY] {
                    let mut x = x.clone();
                    x[len / 2] = odd;
                    assert!(!measure(isa, &x).mean.is_finite());
                }
            }
        }
    }
}
