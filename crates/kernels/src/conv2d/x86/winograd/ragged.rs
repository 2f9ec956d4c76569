//! F(4×4, 3×3) for images of any size: the output is computed in whole tiles and cropped.

use std::borrow::Cow;
use std::ops::Range;

use super::{PITCH, Winograd, transform_weight};
use crate::buffer::with_scratch;
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::runner::{self, Finish, Runner};
use crate::conv2d::source::Source;
use crate::conv2d::weight::Weight;
use crate::conv2d::x86::vector::Vector;

/// Rows and columns of a tile.
const TILE: usize = 4;

/// Rounds the sides of a geometry up to whole tiles.
pub(in crate::conv2d) fn tiled(geometry: &Geometry) -> Geometry {
    let [height, width] = [geometry.height, geometry.width].map(|side| side.next_multiple_of(TILE));
    Geometry { height, width, ..*geometry }
}

/// Convolution of a geometry that whole tiles do not cover exactly.
pub(in crate::conv2d) struct Ragged<'a, V, const B: usize> {
    winograd: Winograd<'a, V, B>,
    /// Height and width of the output.
    sides: [usize; 2],
}

impl<'a, V: Vector<B>, const B: usize> Ragged<'a, V, B> {
    pub(in crate::conv2d) fn new(
        proof: V,
        weight: &Weight<'_>,
        bias: Option<&'a [f32]>,
        geometry: &Geometry,
    ) -> Self {
        let (tiled, sides) = (tiled(geometry), [geometry.height, geometry.width]);
        let transformed = Cow::Owned(transform_weight(proof, TILE, weight));
        let padded = Padded::tiled(&tiled, PITCH, sides, 1);
        Self { winograd: Winograd::of(proof, TILE, transformed, bias, &tiled, padded), sides }
    }
}

impl<V: Vector<B>, const B: usize> Runner for Ragged<'_, V, B> {
    fn images(&self) -> usize {
        self.winograd.images()
    }

    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32) {
        let (tiled, [height, width]) = (&self.winograd.geometry, self.sides);
        let channels = samples.len() * tiled.outputs;
        with_scratch(channels * tiled.pixels(), |whole| {
            // SAFETY: the scratch holds the output of these samples, in whole tiles.
            unsafe { self.winograd.run(source, samples, whole.as_mut_ptr()) };
            for (channel, whole) in whole.chunks_exact(tiled.pixels()).enumerate() {
                let rows = whole.chunks_exact(tiled.width).take(height).enumerate();
                for (row, whole) in rows {
                    // SAFETY: the caller vouches for the output of these samples, and this is one
                    // of its rows.
                    unsafe {
                        let y = y.add((channel * height + row) * width);
                        y.copy_from_nonoverlapping(whole.as_ptr(), width);
                    }
                }
            }
        });
    }
}

/// Transformed weight of a 3×3 convolution, for many batches.
pub(crate) struct Transformed<V, const B: usize> {
    proof: V,
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl<V: Vector<B>, const B: usize> Transformed<V, B> {
    /// Transforms a weight `[O, I, 3, 3]`; the bias is `[O]`.
    pub(crate) fn new(proof: V, weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / (9 * bias.len()));
        let one = Geometry { batch: 1, inputs, outputs, height: TILE, width: TILE, kernel: 3 };
        let weight = transform_weight(proof, TILE, &Weight::forward(weight, &one));
        Self { proof, weight, bias: bias.to_vec(), inputs }
    }

    /// Returns the convolution of `batch` images of these sides, with the output's sides rounded up
    /// to whole tiles. The output has the sides of the images with `border` 1, and two fewer with
    /// 0.
    pub(crate) fn geometry(&self, batch: usize, sides: [usize; 2], border: usize) -> Geometry {
        let [height, width] = sides.map(|it| it + 2 * border - 2);
        let outputs = self.bias.len();
        tiled(&Geometry { batch, inputs: self.inputs, outputs, height, width, kernel: 3 })
    }

    /// Convolves images of these sides. `finish` consumes the output of each, with the
    /// sizes of [`Self::geometry`].
    pub(crate) fn convolve(
        &self,
        source: &Source<'_>,
        geometry: &Geometry,
        sides: [usize; 2],
        border: usize,
        finish: &Finish<'_>,
    ) {
        let padded = Padded::tiled(geometry, PITCH, sides, border);
        let (weight, bias) = (Cow::Borrowed(&self.weight[..]), Some(&self.bias[..]));
        let winograd = Winograd::of(self.proof, TILE, weight, bias, geometry, padded);
        runner::convolve_each(&winograd, source, geometry, finish);
    }
}
