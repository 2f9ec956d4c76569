//! Sums in a fixed order, which do not depend on the number of threads.

use rayon::prelude::*;

use super::buffer::Output;
use super::isa::{Isa, compile_for_isa};

/// Number of parallel partial sums: four vectors of eight.
pub(super) const LANES: usize = 32;

/// The sums over pixels: `[B, C, H, W]` to `[B, C]`.
pub(super) fn over_pixels(isa: Isa, x: &[f32], pixels: usize) -> Vec<f32> {
    let mut sums = Output::new(x.len() / pixels);
    // A task needs some thousand elements to be worth a thread.
    let channels = 8192usize.div_ceil(pixels);
    sums.par_chunks(channels).zip(x.par_chunks(channels * pixels)).for_each(|(sums, x)| {
        for (total, x) in sums.iter_mut().zip(x.chunks_exact(pixels)) {
            total.write(sum(isa, x));
        }
    });
    // SAFETY: there is one sum per group of pixels.
    unsafe { sums.assume_written() }
}

/// The sums over the samples: `[B, C]` to `[C]`.
pub(super) fn over_batch(x: &[f32], batch: usize, channels: usize) -> Vec<f32> {
    let mut sums = vec![0f32; channels];
    for row in x.chunks_exact(channels).take(batch) {
        sums.iter_mut().zip(row).for_each(|(sum, it)| *sum += it);
    }
    sums
}

compile_for_isa! {
    /// The sum of all elements.
    fn sum(x: &[f32]) -> f32 = sum_of
}

#[inline(always)]
fn sum_of<const FMA: bool>(x: &[f32]) -> f32 {
    lanewise(x, |x| x)
}

/// `Σ f(x)`, in the same order on every processor.
#[inline(always)]
pub(super) fn lanewise(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (vectors, rest) = x.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for vector in vectors {
        for (sum, x) in sums.iter_mut().zip(vector) {
            *sum += f(*x);
        }
    }
    fold(sums) + rest.iter().map(|x| f(*x)).sum::<f32>()
}

/// The sum of partial sums, by repeated halving.
#[inline(always)]
pub(super) fn fold(mut sums: [f32; LANES]) -> f32 {
    let mut len = LANES;
    while 1 < len {
        len /= 2;
        for i in 0..len {
            sums[i] += sums[i + len];
        }
    }
    sums[0]
}
