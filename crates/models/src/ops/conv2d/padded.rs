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

    /// Whether images as they are have this layout already.
    pub(super) fn is_plain(&self) -> bool {
        self.border == 0 && self.pitch == self.width
    }

    /// Vectors in a row, the last one perhaps ragged.
    pub(super) fn row_vectors(&self) -> usize {
        self.width.div_ceil(self.lanes)
    }

    /// Copies channels of `source`, each `height · width`, into `target`, all of which it writes.
    pub(super) fn fill(&self, source: &[f32], target: &mut [f32]) {
        let channels = source.chunks_exact(self.height * self.width);
        for (source, target) in channels.zip(target.chunks_exact_mut(self.channel)) {
            let (top, rest) = target.split_at_mut(self.border * self.pitch);
            let (rows, bottom) = rest.split_at_mut(self.height * self.pitch);
            top.fill(0.0);
            bottom.fill(0.0);
            let sources = source.chunks_exact(self.width);
            for (source, row) in sources.zip(rows.chunks_exact_mut(self.pitch)) {
                let (left, rest) = row.split_at_mut(self.border);
                let (image, right) = rest.split_at_mut(self.width);
                left.fill(0.0);
                image.copy_from_slice(source);
                right.fill(0.0);
            }
        }
    }
}
