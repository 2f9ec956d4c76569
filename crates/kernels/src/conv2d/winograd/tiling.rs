//! Where the tiles of a batch of images are.

use crate::conv2d::geometry::Geometry;
use crate::conv2d::width::QUADS;

/// Numbers of a row of a quad.
const QUAD: usize = 4;
/// The most places of a transformed tile.
pub(super) const MAX_PLACES: usize = 36;

/// Places of a transformed tile of `size` by `size` pixels.
pub(super) const fn places_of(size: usize) -> usize {
    (size + 2) * (size + 2)
}

/// Images cut into tiles of 2 by 2 or 4 by 4 pixels, which are read as quads: four pixels of as many
/// rows as a tile has, that is two tiles or one.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    /// Rows and columns of a tile.
    pub(super) size: usize,
    /// Every so many quads follow right on each other.
    pub(super) near: usize,
    /// Quads in a row of tiles.
    in_row: usize,
    /// Quads in an image.
    pub(super) in_image: usize,
}

impl Tiling {
    /// Whether images of this size can be cut so.
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

    /// Places of a transformed tile.
    pub(super) fn places(&self) -> usize {
        places_of(self.size)
    }

    /// Quads of a vector of `lanes` tiles.
    pub(super) fn in_vector(&self, lanes: usize) -> usize {
        lanes * self.size / QUAD
    }

    /// Image, row and column of the first pixel of quad `index`.
    fn locate(&self, index: usize) -> (usize, usize, usize) {
        let (image, quad) = (index / self.in_image, index % self.in_image);
        (image, quad / self.in_row * self.size, quad % self.in_row * QUAD)
    }

    /// The quads of a vector of `lanes` tiles from number `first` on, of `total`. Beyond the last,
    /// it (with those near it) is repeated; what a shorter vector has no use for repeats its own.
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
