//! Where the ways of convolving write, and what they have in common.

use super::{Images, Sizes};
use crate::buffer::SharedSlice;

/// How a prepared convolution is done, on operands that have been checked.
pub(super) trait Way: Send + Sync {
    /// Writes all places of all outputs of all images, and nothing else.
    fn run(&self, x: Images<'_>, sizes: Sizes, target: Target);
}

/// Some channels of images in the making, which threads share.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) numbers: SharedSlice<f32>,
    /// Numbers from an image to the next.
    pub(super) image: usize,
    /// The first number of the first channel.
    pub(super) first: usize,
    /// Numbers of a channel.
    pub(super) pixels: usize,
}

impl Target {
    /// Writes numbers of one channel of one image, from `place` on.
    ///
    /// # Safety
    ///
    /// No other thread writes there, and the images are still in the making.
    pub(super) unsafe fn write(&self, image: usize, channel: usize, place: usize, numbers: &[f32]) {
        let at = image * self.image + self.first + channel * self.pixels + place;
        // SAFETY: passed on to the caller.
        unsafe { self.numbers.write_slice(at, numbers) };
    }

    /// Where to write so many numbers of one channel of one image, from `place` on.
    ///
    /// # Safety
    ///
    /// The images are still in the making.
    pub(super) unsafe fn place(
        &self,
        image: usize,
        channel: usize,
        place: usize,
        len: usize,
    ) -> *mut f32 {
        let at = image * self.image + self.first + channel * self.pixels + place;
        // SAFETY: passed on to the caller.
        unsafe { self.numbers.place(at, len) }
    }
}
