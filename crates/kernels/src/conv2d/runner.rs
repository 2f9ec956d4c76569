//! What the convolutions share: images are shared out to the threads, each is finished while it is
//! in the cache.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use super::source::Source;
use crate::buffer::{Output, with_scratch};

/// A convolution with its weights prepared.
pub(super) trait Runner: Sync {
    /// Images that make a task worth its while.
    fn images(&self) -> usize;

    /// Convolves some samples of `source`, which is of the convolution's geometry.
    ///
    /// # Safety
    ///
    /// `y` is valid for writing `samples · outputs · pixels` numbers, which no other thread uses;
    /// afterwards they are written.
    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32);
}

/// Finishes the output `[O, P]` of one sample: adds what is to be added, say.
pub(crate) type Finish<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// The whole output.
pub(super) fn convolve(
    runner: &dyn Runner,
    source: &Source<'_>,
    geometry: &Geometry,
    finish: &Finish<'_>,
) -> Vec<f32> {
    let image = geometry.outputs * geometry.pixels();
    let mut output = Output::new(geometry.output_len());
    output.par_chunks(runner.images() * image).enumerate().for_each(|(task, y)| {
        let first = task * runner.images();
        let samples = first..first + y.len() / image;
        // SAFETY: `y` is the output of these samples, and nobody else's; once the runner has
        // written it, it is initialised.
        let y = unsafe {
            runner.run(source, samples.clone(), y.as_mut_ptr().cast());
            y.assume_init_mut()
        };
        samples.zip(y.chunks_exact_mut(image)).for_each(|(sample, y)| finish(sample, y));
    });
    // SAFETY: the tasks cover the output.
    unsafe { output.assume_written() }
}

/// The output of each sample is given to `finish`, and forgotten.
pub(super) fn convolve_each(
    runner: &dyn Runner,
    source: &Source<'_>,
    geometry: &Geometry,
    finish: &Finish<'_>,
) {
    let image = geometry.outputs * geometry.pixels();
    (0..geometry.batch.div_ceil(runner.images())).into_par_iter().for_each(|task| {
        let first = task * runner.images();
        let samples = first..geometry.batch.min(first + runner.images());
        with_scratch(samples.len() * image, |y| {
            // SAFETY: `y` holds the output of these samples.
            unsafe { runner.run(source, samples.clone(), y.as_mut_ptr()) };
            samples.zip(y.chunks_exact_mut(image)).for_each(|(sample, y)| finish(sample, y));
        });
    });
}
