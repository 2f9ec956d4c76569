//! Images whose channels several operations write one after another, so that nothing is joined later.

use candle_core::{Result, Shape, Tensor, bail};

use super::target::Target;
use super::{ConvRelu, Images, Pool, Sizes, Window, composed, pool};
use crate::buffer::Output;
use crate::isa::Isa;
use crate::operand::image;
use crate::storage::{has_kernel, tensor, with_dense};

/// Images `[B, C, H, W]` in the making.
#[derive(Default)]
pub struct Joined {
    channels: usize,
    written: usize,
    /// What kernels have written.
    images: Option<Written>,
    /// What others have: then it is joined later.
    parts: Vec<Tensor>,
}

/// Images of which some channels have been written.
struct Written {
    batch: usize,
    sides: [usize; 2],
    numbers: Output,
}

impl Joined {
    /// For so many channels in all.
    pub fn new(channels: usize) -> Self {
        Self { channels, ..Self::default() }
    }

    /// The images.
    ///
    /// # Errors
    ///
    /// If not all channels have been written, or some by kernels and some not.
    pub fn finish(self) -> Result<Tensor> {
        let Self { channels, written, images, parts } = self;
        match images {
            _ if written != channels => bail!("{written} of {channels} channels were written"),
            Some(Written { batch, sides: [height, width], numbers }) if parts.is_empty() => {
                // SAFETY: every operation has written all its channels of all images, and those are
                // all.
                let numbers = unsafe { numbers.assume_written() };
                tensor(numbers, &Shape::from((batch, channels, height, width)))
            }
            Some(_) => bail!("channels of different types or devices are not joined"),
            None => Tensor::cat(&parts, 1),
        }
    }

    /// Convolves images into the next channels.
    ///
    /// # Errors
    ///
    /// As of [`ConvRelu::forward`], or if there is no room for them beside the others.
    pub fn convolve(&mut self, convolution: &ConvRelu, x: &Tensor) -> Result<()> {
        convolution.append(x, self)
    }

    /// Writes the largest number under the window into the next channels; beyond the edge there is none.
    ///
    /// # Errors
    ///
    /// If the window does not fit, or there is no room beside the others.
    pub fn max_pool(&mut self, x: &Tensor, window: Window) -> Result<()> {
        self.pool(Isa::detect(), x, window, Pool::Max)
    }

    /// Writes the mean of the numbers under the window into the next channels; what is beyond the edge
    /// does not count.
    ///
    /// # Errors
    ///
    /// As of [`Joined::max_pool`].
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

    /// Takes images as the next channels, of any type and device.
    pub(super) fn push(&mut self, images: Tensor) -> Result<()> {
        self.written += images.dim(1)?;
        self.parts.push(images);
        Ok(())
    }

    /// Lets `write` write the next `channels`.
    ///
    /// # Safety
    ///
    /// It writes all places of all of them, of all images.
    ///
    /// # Errors
    ///
    /// If there is no room for them, or the images are not as many or of other sides.
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
            bail!("{batch} images of {sides:?} are not joined with {others} of {other:?}");
        }
        if self.channels - self.written < channels {
            let (written, all) = (self.written, self.channels);
            bail!("{channels} channels after {written} are more than {all}");
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
