//! Distribution of the images to the threads, which all convolutions share. Each image is finished
//! while it is in the cache.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::Geometry;
use super::source::Source;
use crate::buffer::{Output, with_scratch};

/// A convolution with its weights prepared.
pub(super) trait Runner: Sync {
    /// Number of images of a task; with fewer, starting it costs too much.
    fn images(&self) -> usize;

    /// Convolves some samples of `source`. Its sizes match the convolution.
    ///
    /// # Safety
    ///
    /// `samples · outputs · pixels` elements of `y` are writable, and no other thread uses them.
    /// The function initializes all of them.
    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32);
}

/// Function that finishes the output `[O, P]` of one sample, for example by adding a term.
pub(crate) type Finish<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// Computes the whole output.
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
        // SAFETY: only this task has the output of these samples. The runner initializes it.
        let y = unsafe {
            runner.run(source, samples.clone(), y.as_mut_ptr().cast());
            y.assume_init_mut()
        };
        samples.zip(y.chunks_exact_mut(image)).for_each(|(sample, y)| finish(sample, y));
    });
    // SAFETY: the tasks cover the output.
    unsafe { output.assume_written() }
}

/// Computes the output of each sample, which `finish` consumes.
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
