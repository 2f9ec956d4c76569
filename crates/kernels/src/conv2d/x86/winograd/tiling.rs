//! Positions of the tiles in a batch of images.

use crate::conv2d::geometry::Geometry;
use crate::conv2d::x86::vector::QUADS;

/// Elements of a row of a quad.
const QUAD: usize = 4;
/// Largest number of places of a transformed tile.
pub(super) const MAX_PLACES: usize = 36;

/// Number of places of a transformed tile of `size` by `size` pixels.
pub(super) const fn places_of(size: usize) -> usize {
    (size + 2) * (size + 2)
}

/// Division of images into tiles of 2 by 2 or 4 by 4 pixels. Tiles are read as quads: four pixels
/// wide and as many rows high as a tile, so a quad is two tiles or one.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    /// Rows and columns of a tile.
    pub(super) size: usize,
    /// Number of adjacent quads: 1, 2 or 4.
    pub(super) near: usize,
    /// Quads in a row of tiles.
    in_row: usize,
    /// Quads in an image.
    pub(super) in_image: usize,
}

impl Tiling {
    /// Returns true if whole tiles cover images of this size.
    pub(super) fn fits(geometry: &Geometry, size: usize) -> bool {
        geometry.kernel == 3
            && geometry.width.is_multiple_of(QUAD)
            && geometry.height.is_multiple_of(size)
    }

    pub(super) fn new(geometry: &Geometry, size: usize) -> Self {
        let in_row = geometry.width / QUAD;
        let near = match in_row % 4 {
            0 => 4,
            2 => 2,
            _ => 1,
        };
        Self { size, near, in_row, in_image: geometry.height / size * in_row }
    }

    /// Number of places of a transformed tile.
    pub(super) fn places(&self) -> usize {
        places_of(self.size)
    }

    /// Number of quads of a vector of `lanes` tiles.
    pub(super) fn in_vector(&self, lanes: usize) -> usize {
        lanes * self.size / QUAD
    }

    /// Returns the image, row and column of the first pixel of quad `index`.
    fn locate(&self, index: usize) -> (usize, usize, usize) {
        let (image, quad) = (index / self.in_image, index % self.in_image);
        (image, quad / self.in_row * self.size, quad % self.in_row * QUAD)
    }

    /// Returns the quads of a vector of `lanes` tiles, starting at quad `first` of `total`.
    /// Positions beyond the last quad repeat it and its adjacent ones; a shorter vector repeats its
    /// own quads.
    pub(super) fn of_vector(
        &self,
        first: usize,
        lanes: usize,
        total: usize,
    ) -> [(usize, usize, usize); QUADS] {
        std::array::from_fn(|i| {
            let index = first + i % self.in_vector(lanes);
            self.locate(if index < total { index } else { total - self.near + index % self.near })
        })
    }
}
