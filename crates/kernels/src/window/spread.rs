//! Layout of images in which neighboring output pixels read neighboring elements in memory.

use std::ops::Range;

use rayon::prelude::*;

use super::{Images, Sizes, Window};
use crate::buffer::with_scratch;

/// Neighboring output pixels in one row of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Index of the image.
    pub(super) image: usize,
    /// First output pixel, counted in the image.
    pub(super) place: usize,
    /// First output pixel, counted in the tile.
    pub(super) at: usize,
    /// Number of output pixels.
    pub(super) len: usize,
    /// Position in the source of the first pixel under the window, for the first output pixel.
    pub(super) from: usize,
}

/// The layout: a border of zeros. For a stride s, the columns of a row are split into s parts by
/// their remainder modulo s, so that each part has stride 1.
pub(super) struct Spread {
    sizes: Sizes,
    /// Elements in a part of a row.
    part: usize,
    /// Distance of rows in elements.
    pitch: usize,
    /// Distance of channels in elements.
    channel: usize,
    /// Elements after the last channel.
    slack: usize,
}

impl Spread {
    /// The layout for vectors of `lanes` elements.
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

    /// True if images already have this layout.
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
                        // Column j of the padded row is element j / s of part j % s.
                        let skipped = (remainder + stride - left % stride) % stride;
                        let part = &mut row[remainder * self.part + (left + skipped) / stride..];
                        let x = x.iter().skip(skipped).step_by(stride);
                        part.iter_mut().zip(x).for_each(|(target, x)| *target = *x);
                    }
                }
            }
        }
    }

    /// Distance of each term of the sum from the window's first pixel.
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

    /// The segments of these output pixels, which are numbered through the batch.
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
