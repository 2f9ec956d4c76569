//! The sizes of one convolution.

/// A convolution with stride 1 that keeps the image size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Images.
    pub(crate) batch: usize,
    /// Channels of an input image, over which the convolution sums.
    pub(crate) inputs: usize,
    /// Channels of an output image.
    pub(crate) outputs: usize,
    /// Rows of an image.
    pub(crate) height: usize,
    /// Columns of an image.
    pub(crate) width: usize,
    /// Rows and columns of the kernel, odd.
    pub(crate) kernel: usize,
}

impl Geometry {
    /// Pixels of an image.
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Numbers in a kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Numbers of the output batch.
    pub(crate) fn output_len(&self) -> usize {
        self.batch * self.outputs * self.pixels()
    }

    /// The convolution whose output is the gradient by the input.
    pub(crate) fn backward(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }
}
