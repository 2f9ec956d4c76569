//! Images laid out so that what a window sees at neighbouring places is neighbours in memory.

use std::ops::Range;

use rayon::prelude::*;

use super::{Images, Sizes, Window};
use crate::buffer::with_scratch;

/// Places of the output beside each other in one row of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Of which image.
    pub(super) image: usize,
    /// The first place, in the image.
    pub(super) place: usize,
    /// The first place, in the tile.
    pub(super) at: usize,
    /// How many.
    pub(super) len: usize,
    /// What the window's first pixel is at the first place, in the source.
    pub(super) from: usize,
}

/// The layout: a border of zeros, and with a stride s the columns of a row in s parts by their
/// remainder, so that the stride is gone.
pub(super) struct Spread {
    sizes: Sizes,
    /// Numbers of a part of a row.
    part: usize,
    /// Numbers from a row to the next.
    pitch: usize,
    /// Numbers from a channel to the next.
    channel: usize,
    /// Numbers after the last channel.
    slack: usize,
}

impl Spread {
    /// For images read in vectors of `lanes`.
    pub(super) fn new(sizes: Sizes, lanes: usize) -> Self {
        let mut sizes = sizes;
        if sizes.window == Window::valid(1, 1) {
            // One long row.
            (sizes.sides, sizes.places) = ([1, sizes.pixels()], [1, sizes.pixels()]);
        }
        let Sizes { sides: [height, width], window, .. } = sizes;
        let part = (width + 2 * window.padding[1]).div_ceil(window.stride);
        let pitch = part * window.stride;
        let channel = (height + 2 * window.padding[0]) * pitch;
        Self { sizes, part, pitch, channel, slack: lanes }
    }

    /// Whether images lie so already.
    fn is_plain(&self) -> bool {
        let Window { stride, padding, .. } = self.sizes.window;
        stride == 1 && padding == [0, 0]
    }

    /// Runs `f` on all images in this layout.
    pub(super) fn with_source<R>(&self, x: Images<'_>, f: impl FnOnce(&[f32]) -> R) -> R {
        if self.is_plain() {
            return f(x.numbers);
        }
        let len = x.batch * self.sizes.channels * self.channel;
        with_scratch(len + self.slack, |source| {
            let channels = source[..len].par_chunks_exact_mut(self.channel);
            channels
                .zip(x.numbers.par_chunks_exact(self.sizes.pixels()))
                .for_each(|(target, x)| self.spread(x, target));
            source[len..].fill(0.0);
            f(source)
        })
    }

    /// Writes one channel.
    fn spread(&self, x: &[f32], target: &mut [f32]) {
        let Window { stride, padding: [above, left], .. } = self.sizes.window;
        target.fill(0.0);
        let rows = target.chunks_exact_mut(self.pitch).skip(above);
        for (row, x) in rows.zip(x.chunks_exact(self.sizes.sides[1])) {
            match stride {
                1 => row[left..left + x.len()].copy_from_slice(x),
                _ => {
                    for remainder in 0..stride {
                        // Column j of the padded row is number j / s of part j % s.
                        let skipped = (remainder + stride - left % stride) % stride;
                        let part = &mut row[remainder * self.part + (left + skipped) / stride..];
                        let x = x.iter().skip(skipped).step_by(stride);
                        part.iter_mut().zip(x).for_each(|(target, x)| *target = *x);
                    }
                }
            }
        }
    }

    /// Of each term of the sum: how far from the window's first pixel it is.
    pub(super) fn offsets(&self) -> Vec<usize> {
        let Window { size: [rows, columns], stride, .. } = self.sizes.window;
        let term = |channel: usize, u: usize, v: usize| {
            channel * self.channel + u * self.pitch + v % stride * self.part + v / stride
        };
        let channels = 0..self.sizes.channels;
        let all = channels.flat_map(|channel| {
            (0..rows).flat_map(move |u| (0..columns).map(move |v| (channel, u, v)))
        });
        all.map(|(channel, u, v)| term(channel, u, v)).collect()
    }

    /// The segments of these places, counted through the batch.
    pub(super) fn segments(&self, places: Range<usize>) -> Vec<Segment> {
        let [_, width] = self.sizes.places;
        let (mut segments, mut next) = (Vec::new(), places.start);
        while next < places.end {
            let (image, place) = (next / self.sizes.outputs(), next % self.sizes.outputs());
            let (row, column) = (place / width, place % width);
            let len = (width - column).min(places.end - next);
            let from = image * self.sizes.channels * self.channel
                + row * self.sizes.window.stride * self.pitch
                + column;
            segments.push(Segment { image, place, at: next - places.start, len, from });
            next += len;
        }
        segments
    }
}
