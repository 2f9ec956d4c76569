//! F(4×4, 3×3) for images of any size: the output is rounded up to whole tiles and cut.

use std::borrow::Cow;

use super::{PITCH, Winograd, transform_weight};
use crate::ops::conv2d::geometry::Geometry;
use crate::ops::conv2d::padded::Padded;
use crate::ops::conv2d::source::Source;
use crate::ops::conv2d::weight::Weight;
use crate::ops::conv2d::width::Width;

/// Rows and columns of a tile.
const TILE: usize = 4;

/// The weight of a 3×3 convolution, transformed once for many.
pub(in crate::ops) struct Ragged<W, const B: usize> {
    proof: W,
    transformed: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl<W: Width<B>, const B: usize> Ragged<W, B> {
    /// Of a weight `[O, I, 3, 3]` and a bias `[O]`.
    pub(in crate::ops) fn new(proof: W, weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / (9 * bias.len()));
        let one = Geometry { batch: 1, inputs, outputs, height: TILE, width: TILE, kernel: 3 };
        let transformed = transform_weight(proof, TILE, &Weight::forward(weight, &one));
        Self { proof, transformed, bias: bias.to_vec(), inputs }
    }

    /// The convolution of `batch` images of these sides, as many times over an axis as there are
    /// pixels (`border` 1) or two fewer (0); its output has its sides rounded up to whole tiles.
    pub(in crate::ops) fn geometry(
        &self,
        batch: usize,
        sides: [usize; 2],
        border: usize,
    ) -> Geometry {
        let [height, width] = sides.map(|it| (it + 2 * border - 2).next_multiple_of(TILE));
        let outputs = self.bias.len();
        Geometry { batch, inputs: self.inputs, outputs, height, width, kernel: 3 }
    }

    /// Convolves images of these sides; `finish` is given some samples and their output, of
    /// [`Self::geometry`].
    pub(in crate::ops) fn convolve(
        &self,
        source: &Source<'_>,
        geometry: &Geometry,
        sides: [usize; 2],
        border: usize,
        finish: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let padded = Padded::tiled(geometry, PITCH, sides, border);
        let transformed = Cow::Borrowed(&self.transformed[..]);
        let bias = Some(&self.bias[..]);
        let winograd = Winograd::of(self.proof, TILE, transformed, bias, geometry, padded);
        crate::ops::conv2d::runner::convolve_each(&winograd, source, geometry, finish);
    }
}
