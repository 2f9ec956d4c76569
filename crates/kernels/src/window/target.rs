//! Common interface and output of the convolution implementations.

use super::{Images, Sizes};
use crate::buffer::SharedSlice;

/// An implementation of a prepared convolution, for checked operands.
pub(super) trait Way: Send + Sync {
    /// Writes all pixels of all output channels of all images, and nothing else.
    fn run(&self, x: Images<'_>, sizes: Sizes, target: Target);
}

/// Some channels of images under construction, shared by threads.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) numbers: SharedSlice<f32>,
    /// Distance of images in elements.
    pub(super) image: usize,
    /// Offset of the first channel.
    pub(super) first: usize,
    /// Elements per channel.
    pub(super) pixels: usize,
}

impl Target {
    /// Writes elements of one channel of one image, starting at pixel `place`.
    ///
    /// # Safety
    ///
    /// No other thread writes these elements, and the images are still under construction.
    pub(super) unsafe fn write(&self, image: usize, channel: usize, place: usize, numbers: &[f32]) {
        let at = image * self.image + self.first + channel * self.pixels + place;
        // SAFETY: the caller guarantees the conditions.
        unsafe { self.numbers.write_slice(at, numbers) };
    }

    /// Address for `len` elements of one channel of one image, starting at pixel `place`.
    ///
    /// # Safety
    ///
    /// The images are still under construction.
    pub(super) unsafe fn place(
        &self,
        image: usize,
        channel: usize,
        place: usize,
        len: usize,
    ) -> *mut f32 {
        let at = image * self.image + self.first + channel * self.pixels + place;
        // SAFETY: the caller guarantees the conditions.
        unsafe { self.numbers.place(at, len) }
    }
}
