//! Input of a convolution: images, optionally normalized as they are read.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::padded::Padded;
use crate::buffer::{as_uninit, with_scratch};
use crate::channels::Channels;
use crate::group_norm::normal::Normal;

/// Images, and the normalization that is applied before the convolution.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    images: Channels<'a>,
    normal: Option<&'a Normal>,
}

impl<'a> Source<'a> {
    /// Images without normalization.
    pub(crate) fn plain(images: Channels<'a>) -> Self {
        Self { images, normal: None }
    }

    /// Images that are normalized as they are read.
    pub(crate) fn normalized(images: Channels<'a>, normal: &'a Normal) -> Self {
        Self { images, normal: Some(normal) }
    }

    /// Returns the elements of some samples, if they can be read in place.
    pub(super) fn as_plain(&self, samples: Range<usize>) -> Option<&'a [f32]> {
        let all = self.images.as_one().filter(|_| self.normal.is_none())?;
        let image = self.images.count() * self.images.pixels();
        Some(&all[samples.start * image..samples.end * image])
    }

    /// Writes some samples to `target`, and initializes all of it.
    pub(super) fn fill(&self, padded: &Padded, samples: Range<usize>, target: &mut [f32]) {
        let channels = self.images.count();
        let mut targets = target.chunks_exact_mut(padded.channel);
        for sample in samples {
            for (channel, target) in (0..channels).zip(&mut targets) {
                self.fill_channel(padded, sample, channel, target);
            }
        }
    }

    /// Returns some samples, padded: in a new buffer, unless they can be read in place.
    pub(super) fn filled(&self, padded: &Padded, samples: Range<usize>) -> Cow<'a, [f32]> {
        if let Some(x) = self.as_plain(samples.clone()).filter(|_| padded.is_plain()) {
            return Cow::Borrowed(x);
        }
        let image = self.images.count() * padded.channel;
        let mut filled = vec![0f32; samples.len() * image];
        filled.par_chunks_mut(image).zip(samples).for_each(|(target, sample)| {
            self.fill(padded, sample..sample + 1, target);
        });
        Cow::Owned(filled)
    }

    /// Writes one channel of a sample to `target`, and initializes all of it.
    pub(super) fn fill_channel(
        &self,
        padded: &Padded,
        sample: usize,
        channel: usize,
        target: &mut [f32],
    ) {
        /// Shorter rows are normalized together: a loop over the vectors of one would be too short.
        const SHORT_ROW: usize = 32;
        let x = self.images.channel(sample, channel);
        let image = padded.clear_border(target);
        match self.normal {
            None => padded.copy(x, image),
            Some(normal) if padded.width < SHORT_ROW && padded.height != 1 => {
                with_scratch(x.len(), |scratch| {
                    normal.apply(sample, channel, x, as_uninit(scratch), [x.len(); 2]);
                    padded.copy(scratch, image);
                });
            }
            Some(normal) => {
                let rows = [padded.width, padded.pitch];
                normal.apply(sample, channel, x, as_uninit(image), rows);
            }
        }
    }

    /// Runs `f` on the elements `[C, P]` of one sample.
    pub(super) fn with_dense<R>(&self, sample: usize, f: impl FnOnce(&[f32]) -> R) -> R {
        if let Some(x) = self.as_plain(sample..sample + 1) {
            return f(x);
        }
        let pixels = self.images.pixels();
        with_scratch(self.images.count() * pixels, |scratch| {
            self.fill(&Padded::none(pixels), sample..sample + 1, scratch);
            f(scratch)
        })
    }
}
