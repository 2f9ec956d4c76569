//! Images whose channels are written by several operations, without a later concatenation.

use candle_core::{Result, Shape, Tensor, bail};

use super::target::Target;
use super::{ConvRelu, Images, Pool, Sizes, Window, composed, pool};
use crate::buffer::Output;
use crate::isa::Isa;
use crate::operand::image;
use crate::storage::{has_kernel, tensor, with_dense};

/// Images `[B, C, H, W]` under construction.
#[derive(Default)]
pub struct Joined {
    channels: usize,
    written: usize,
    /// Channels written by kernels.
    images: Option<Written>,
    /// Channels written by other operations, which are concatenated later.
    parts: Vec<Tensor>,
}

/// Images with some of their channels written.
struct Written {
    batch: usize,
    sides: [usize; 2],
    numbers: Output,
}

impl Joined {
    /// Starts images with this number of channels.
    pub fn new(channels: usize) -> Self {
        Self { channels, ..Self::default() }
    }

    /// The images.
    ///
    /// # Errors
    ///
    /// If channels are missing, or only some were written by kernels.
    pub fn finish(self) -> Result<Tensor> {
        let Self { channels, written, images, parts } = self;
        match images {
            _ if written != channels => bail!(
                "joined images: {written} of {channels} channels were written; write the others"
            ),
            Some(Written { batch, sides: [height, width], numbers }) if parts.is_empty() => {
                // SAFETY: every operation has written its channels of all images, and these are all
                // channels.
                let numbers = unsafe { numbers.assume_written() };
                tensor(numbers, &Shape::from((batch, channels, height, width)))
            }
            Some(_) => {
                bail!("joined images: channels differ in type or device; convert them first")
            }
            None => Tensor::cat(&parts, 1),
        }
    }

    /// Convolves images into the next channels.
    ///
    /// # Errors
    ///
    /// As for [`ConvRelu::forward`], or if fewer channels are left.
    pub fn convolve(&mut self, convolution: &ConvRelu, x: &Tensor) -> Result<()> {
        convolution.append(x, self)
    }

    /// Writes the largest element under the window into the next channels. Pixels beyond the edge
    /// are ignored.
    ///
    /// # Errors
    ///
    /// If the window does not fit, or fewer channels are left.
    pub fn max_pool(&mut self, x: &Tensor, window: Window) -> Result<()> {
        self.pool(Isa::detect(), x, window, Pool::Max)
    }

    /// Writes the mean of the elements under the window into the next channels. Pixels beyond the
    /// edge are ignored.
    ///
    /// # Errors
    ///
    /// As for [`Joined::max_pool`].
    pub fn average_pool(&mut self, x: &Tensor, window: Window) -> Result<()> {
        self.pool(Isa::detect(), x, window, Pool::Average)
    }

    pub(super) fn pool(&mut self, isa: Isa, x: &Tensor, window: Window, pool: Pool) -> Result<()> {
        let [batch, channels, height, width] = image("pool", "x", x)?;
        let sides = [height, width];
        let places = window.places("pool", sides)?;
        if !has_kernel(&[x]) {
            return self.push(composed::pool(x, window, pool)?);
        }
        with_dense(x, |numbers| {
            let (x, sizes) = (Images { numbers, batch }, Sizes { channels, sides, places, window });
            // SAFETY: the kernel writes all of its target.
            unsafe {
                self.append(batch, channels, places, |target| {
                    pool::pool(isa, x, sizes, pool, target);
                })
            }
        })
    }

    /// Adds images of any type and device as the next channels.
    pub(super) fn push(&mut self, images: Tensor) -> Result<()> {
        self.written += images.dim(1)?;
        self.parts.push(images);
        Ok(())
    }

    /// Calls `write` for the next `channels`.
    ///
    /// # Safety
    ///
    /// `write` writes all pixels of these channels in all images.
    ///
    /// # Errors
    ///
    /// If fewer channels are left, or the images differ in number or size.
    pub(super) unsafe fn append(
        &mut self,
        batch: usize,
        channels: usize,
        sides: [usize; 2],
        write: impl FnOnce(Target),
    ) -> Result<()> {
        let pixels = sides[0] * sides[1];
        let numbers = || Output::new(batch * self.channels * pixels);
        let images =
            self.images.get_or_insert_with(|| Written { batch, sides, numbers: numbers() });
        if (images.batch, images.sides) != (batch, sides) {
            let (others, other) = (images.batch, images.sides);
            bail!("joined images: {batch} images of {sides:?} do not match {others} of {other:?}");
        }
        if self.channels - self.written < channels {
            let (written, all) = (self.written, self.channels);
            bail!("joined images: {channels} channels after {written} exceed {all}");
        }
        write(Target {
            numbers: images.numbers.as_shared(),
            image: self.channels * pixels,
            first: self.written * pixels,
            pixels,
        });
        self.written += channels;
        Ok(())
    }
}
