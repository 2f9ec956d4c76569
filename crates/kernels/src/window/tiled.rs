//! 3×3 convolution in tiles of 4×4 with Winograd's F(4×4, 3×3), for images of any size.

use super::target::{Target, Way};
use super::{Images, Sizes, relu};
use crate::channels::Channels;
use crate::conv2d::source::Source;
use crate::conv2d::x86::vector::Vector;
use crate::conv2d::x86::winograd::Transformed;

/// A convolution with bias and ReLU and a transformed weight.
pub(super) struct Tiled<W, const B: usize>(Transformed<W, B>);

impl<W: Vector<B>, const B: usize> Tiled<W, B> {
    /// Prepares a weight `[O, C, 3, 3]`.
    pub(super) fn new(proof: W, weight: &[f32], bias: &[f32]) -> Self {
        Self(Transformed::new(proof, weight, bias))
    }
}

impl<W: Vector<B>, const B: usize> Way for Tiled<W, B> {
    fn run(&self, x: Images<'_>, sizes: Sizes, target: Target) {
        let source = Source::plain(Channels::new(x.numbers, sizes.channels, sizes.pixels()));
        let border = sizes.window.padding[0];
        let geometry = self.0.geometry(x.batch, sizes.sides, border);
        let [_, width] = sizes.places;
        self.0.convolve(&source, &geometry, sizes.sides, border, &|image, y| {
            for (output, y) in y.chunks_exact_mut(geometry.pixels()).enumerate() {
                let rows = y.chunks_exact_mut(geometry.width).take(sizes.places[0]);
                for (row, y) in rows.enumerate() {
                    let y = &mut y[..width];
                    relu(y);
                    // SAFETY: only this task writes the image.
                    unsafe { target.write(image, output, row * width, y) };
                }
            }
        });
    }
}
