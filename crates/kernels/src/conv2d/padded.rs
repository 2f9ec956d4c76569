//! Images with a border of zeros, so that kernels need no test for the edges.

use super::geometry::Geometry;

/// How an image lies in scratch.
#[derive(Clone, Copy)]
pub(super) struct Padded {
    /// Rows of pixels; with `k = 1` an image is one long row.
    pub(super) height: usize,
    /// Pixels in a row.
    pub(super) width: usize,
    /// Numbers from a row to the next. Reading a whole vector at any pixel of a row, shifted by
    /// any column of the kernel, stays within the row and finds zeros beyond the image.
    pub(super) pitch: usize,
    /// Numbers from a channel to the next.
    pub(super) channel: usize,
    border: usize,
    /// Numbers of a vector.
    pub(super) lanes: usize,
}

impl Padded {
    /// The layout for this convolution, `k` 1 or 3, with vectors of `lanes`.
    pub(super) fn new(geometry: &Geometry, lanes: usize) -> Self {
        let (height, width, border) = match geometry.kernel {
            1 => (1, geometry.pixels(), 0),
            _ => (geometry.height, geometry.width, 1),
        };
        let pitch = width.next_multiple_of(lanes) + border * lanes;
        Self { height, width, pitch, channel: (height + 2 * border) * pitch, border, lanes }
    }

    /// The layout for a 3×3 convolution in tiles that reach beyond the output. `tiled` is that convolution
    /// with the output's sides rounded up to whole tiles; images have these `sides`, and a border of
    /// zeros or, for an output that is smaller than they by two, none.
    pub(super) fn tiled(
        tiled: &Geometry,
        lanes: usize,
        [height, width]: [usize; 2],
        border: usize,
    ) -> Self {
        Self { height, width, border, ..Self::new(tiled, lanes) }
    }

    /// Whether images as they are have this layout already.
    pub(super) fn is_plain(&self) -> bool {
        self.border == 0 && self.pitch == self.width
    }

    /// Vectors in a row, the last one perhaps ragged.
    pub(super) fn row_vectors(&self) -> usize {
        self.width.div_ceil(self.lanes)
    }

    /// An image of so many pixels, in one row and without a border.
    pub(super) fn none(pixels: usize) -> Self {
        Self { height: 1, width: pixels, pitch: pixels, channel: pixels, border: 0, lanes: 1 }
    }

    /// Zeroes all of a channel that is not image. Returns it from the first pixel on.
    pub(super) fn clear_border<'a>(&self, channel: &'a mut [f32]) -> &'a mut [f32] {
        if self.pitch == self.width && self.border == 0 {
            return channel;
        }
        /// Numbers from a row to the next up to which gaps are not worth being cleared one by one.
        const SHORT: usize = 24;
        if self.pitch <= SHORT {
            channel.fill(0.0);
            return &mut channel[self.border * self.pitch + self.border..];
        }
        // From the last pixel of a row to the first of the next is one stretch of zeros.
        let gap = self.pitch - self.width;
        let first = self.border * self.pitch + self.border;
        let (before, image) = channel.split_at_mut(first);
        before.fill(0.0);
        for row in image.chunks_mut(self.pitch).take(self.height - 1) {
            // Gaps are short, and a call for each would take longer than writing it.
            let (chunks, rest) = row[self.width..].as_chunks_mut::<8>();
            chunks.iter_mut().for_each(|it| *it = [0.0; 8]);
            rest.iter_mut().for_each(|it| *it = 0.0);
        }
        let last = (self.height - 1) * self.pitch + self.width;
        image[last..].fill(0.0);
        debug_assert!(self.border <= gap);
        image
    }

    /// Copies the rows of a channel to where they belong.
    pub(super) fn copy(&self, source: &[f32], image: &mut [f32]) {
        let rows = source.chunks_exact(self.width).zip(image.chunks_mut(self.pitch));
        for (source, row) in rows {
            // As with the gaps.
            let (sources, source_rest) = source.as_chunks::<8>();
            let (targets, rest) = row[..self.width].as_chunks_mut::<8>();
            sources.iter().zip(targets).for_each(|(source, target)| *target = *source);
            source_rest.iter().zip(rest).for_each(|(source, target)| *target = *source);
        }
    }
}
