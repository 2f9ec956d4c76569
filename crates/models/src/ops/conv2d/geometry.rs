//! The sizes of one convolution.

/// A convolution with stride 1 that keeps the image size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Images.
    pub(super) batch: usize,
    /// Channels of an input image, over which the convolution sums.
    pub(super) inputs: usize,
    /// Channels of an output image.
    pub(super) outputs: usize,
    /// Rows of an image.
    pub(super) height: usize,
    /// Columns of an image.
    pub(super) width: usize,
    /// Rows and columns of the kernel, odd.
    pub(super) kernel: usize,
}

impl Geometry {
    /// Pixels of an image.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Numbers in a kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Numbers of the output batch.
    pub(super) fn output_len(&self) -> usize {
        self.batch * self.outputs * self.pixels()
    }

    /// The convolution whose output is the gradient by the input.
    pub(super) fn backward(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }
}
