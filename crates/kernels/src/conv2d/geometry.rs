//! Sizes of a convolution.

/// A convolution with stride 1 that keeps the image size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Images.
    pub(crate) batch: usize,
    /// Channels of an input image; the convolution sums over them.
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

    /// Elements of a kernel.
    pub(crate) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Elements of the output batch.
    pub(crate) fn output_len(&self) -> usize {
        self.batch * self.outputs * self.pixels()
    }

    /// The convolution that computes the gradient with respect to the input.
    pub(crate) fn backward(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }
}
