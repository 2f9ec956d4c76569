//! Images with a border of zeros, so that kernels do not test for the edges.

use super::geometry::Geometry;

/// Layout of an image in scratch memory.
#[derive(Clone, Copy)]
pub(super) struct Padded {
    /// Rows of pixels. With `k = 1`, an image is one long row.
    pub(super) height: usize,
    /// Pixels in a row.
    pub(super) width: usize,
    /// Elements from a row to the next. A whole vector read at any pixel of a row, shifted by any
    /// column of the kernel, stays within the row and has zeros beyond the image.
    pub(super) pitch: usize,
    /// Elements from a channel to the next.
    pub(super) channel: usize,
    border: usize,
    /// Elements of a vector.
    pub(super) lanes: usize,
}

impl Padded {
    /// Layout for this convolution, with `k` 1 or 3 and vectors of `lanes` elements.
    pub(super) fn new(geometry: &Geometry, lanes: usize) -> Self {
        let (height, width, border) = match geometry.kernel {
            1 => (1, geometry.pixels(), 0),
            _ => (geometry.height, geometry.width, 1),
        };
        let pitch = width.next_multiple_of(lanes) + border * lanes;
        Self { height, width, pitch, channel: (height + 2 * border) * pitch, border, lanes }
    }

    /// Layout for a 3×3 convolution in tiles that extend beyond the output. `tiled` is that
    /// convolution with the output's sides rounded up to whole tiles. Images have these `sides`,
    /// and a border of 1, or 0 for an output with two rows and columns fewer.
    pub(super) fn tiled(
        tiled: &Geometry,
        lanes: usize,
        [height, width]: [usize; 2],
        border: usize,
    ) -> Self {
        Self { height, width, border, ..Self::new(tiled, lanes) }
    }

    /// Returns true if images without padding have this layout.
    pub(super) fn is_plain(&self) -> bool {
        self.border == 0 && self.pitch == self.width
    }

    /// Vectors in a row; the last one may be partial.
    pub(super) fn row_vectors(&self) -> usize {
        self.width.div_ceil(self.lanes)
    }

    /// Layout of an image in one row of this many pixels, without a border.
    pub(super) fn none(pixels: usize) -> Self {
        Self { height: 1, width: pixels, pitch: pixels, channel: pixels, border: 0, lanes: 1 }
    }

    /// Sets all of a channel except the pixels to zero. Returns the channel starting at its first
    /// pixel.
    pub(super) fn clear_border<'a>(&self, channel: &'a mut [f32]) -> &'a mut [f32] {
        if self.pitch == self.width && self.border == 0 {
            return channel;
        }
        /// Longest pitch at which clearing the whole channel is faster than clearing the gaps.
        const SHORT: usize = 24;
        if self.pitch <= SHORT {
            channel.fill(0.0);
            return &mut channel[self.border * self.pitch + self.border..];
        }
        // The zeros between the last pixel of a row and the first of the next are contiguous.
        let gap = self.pitch - self.width;
        let first = self.border * self.pitch + self.border;
        let (before, image) = channel.split_at_mut(first);
        before.fill(0.0);
        for row in image.chunks_mut(self.pitch).take(self.height - 1) {
            // Gaps are short: a call for each would take longer than the writes.
            let (chunks, rest) = row[self.width..].as_chunks_mut::<8>();
            chunks.iter_mut().for_each(|it| *it = [0.0; 8]);
            rest.iter_mut().for_each(|it| *it = 0.0);
        }
        let last = (self.height - 1) * self.pitch + self.width;
        image[last..].fill(0.0);
        debug_assert!(self.border <= gap);
        image
    }

    /// Copies the rows of a channel to their places.
    pub(super) fn copy(&self, source: &[f32], image: &mut [f32]) {
        let rows = source.chunks_exact(self.width).zip(image.chunks_mut(self.pitch));
        for (source, row) in rows {
            // As for the gaps.
            let (sources, source_rest) = source.as_chunks::<8>();
            let (targets, rest) = row[..self.width].as_chunks_mut::<8>();
            sources.iter().zip(targets).for_each(|(source, target)| *target = *source);
            source_rest.iter().zip(rest).for_each(|(source, target)| *target = *source);
        }
    }
}
