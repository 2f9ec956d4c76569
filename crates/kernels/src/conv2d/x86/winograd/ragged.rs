//! F(4×4, 3×3) for images of any size: the output is rounded up to whole tiles, and cut.

use std::borrow::Cow;
use std::ops::Range;

use super::{PITCH, Winograd, transform_weight};
use crate::buffer::with_scratch;
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::runner::{self, Finish, Runner};
use crate::conv2d::source::Source;
use crate::conv2d::weight::Weight;
use crate::conv2d::x86::vector::Width;

/// Rows and columns of a tile.
const TILE: usize = 4;

/// The geometry with its sides rounded up to whole tiles.
pub(in crate::conv2d) fn tiled(geometry: &Geometry) -> Geometry {
    let [height, width] = [geometry.height, geometry.width].map(|side| side.next_multiple_of(TILE));
    Geometry { height, width, ..*geometry }
}

/// The convolution of a geometry that does not fit, with stride 1, that keeps the size.
pub(in crate::conv2d) struct Ragged<'a, W, const B: usize> {
    winograd: Winograd<'a, W, B>,
    /// Height and width of the output.
    sides: [usize; 2],
}

impl<'a, W: Width<B>, const B: usize> Ragged<'a, W, B> {
    pub(in crate::conv2d) fn new(
        proof: W,
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

impl<W: Width<B>, const B: usize> Runner for Ragged<'_, W, B> {
    fn images(&self) -> usize {
        self.winograd.images()
    }

    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32) {
        let (tiled, [height, width]) = (&self.winograd.geometry, self.sides);
        let channels = samples.len() * tiled.outputs;
        with_scratch(channels * tiled.pixels(), |whole| {
            // SAFETY: the scratch holds the output of so many samples, rounded up.
            unsafe { self.winograd.run(source, samples, whole.as_mut_ptr()) };
            for (channel, whole) in whole.chunks_exact(tiled.pixels()).enumerate() {
                let rows = whole.chunks_exact(tiled.width).take(height).enumerate();
                for (row, whole) in rows {
                    // SAFETY: the caller's word for the output of so many samples, of whose rows this
                    // is one.
                    unsafe {
                        let y = y.add((channel * height + row) * width);
                        y.copy_from_nonoverlapping(whole.as_ptr(), width);
                    }
                }
            }
        });
    }
}

/// The weight of a 3×3 convolution, transformed once for many.
pub(crate) struct Transformed<W, const B: usize> {
    proof: W,
    weight: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl<W: Width<B>, const B: usize> Transformed<W, B> {
    /// Of a weight `[O, I, 3, 3]` and a bias `[O]`.
    pub(crate) fn new(proof: W, weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / (9 * bias.len()));
        let one = Geometry { batch: 1, inputs, outputs, height: TILE, width: TILE, kernel: 3 };
        let weight = transform_weight(proof, TILE, &Weight::forward(weight, &one));
        Self { proof, weight, bias: bias.to_vec(), inputs }
    }

    /// The convolution of `batch` images of these sides, with as many places along an axis as there are
    /// pixels (`border` 1) or two fewer (0), its sides rounded up to whole tiles.
    pub(crate) fn geometry(&self, batch: usize, sides: [usize; 2], border: usize) -> Geometry {
        let [height, width] = sides.map(|it| it + 2 * border - 2);
        let outputs = self.bias.len();
        tiled(&Geometry { batch, inputs: self.inputs, outputs, height, width, kernel: 3 })
    }

    /// Convolves images of these sides; `finish` is given the output of each, of [`Self::geometry`].
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
