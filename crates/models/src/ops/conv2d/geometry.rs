//! The sizes of one convolution.

/// A convolution with stride 1 that keeps the image size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Geometry {
    /// Images.
    pub(in crate::ops) batch: usize,
    /// Channels of an input image, over which the convolution sums.
    pub(in crate::ops) inputs: usize,
    /// Channels of an output image.
    pub(in crate::ops) outputs: usize,
    /// Rows of an image.
    pub(in crate::ops) height: usize,
    /// Columns of an image.
    pub(in crate::ops) width: usize,
    /// Rows and columns of the kernel, odd.
    pub(in crate::ops) kernel: usize,
}

impl Geometry {
    /// Pixels of an image.
    pub(in crate::ops) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Numbers in a kernel.
    pub(in crate::ops) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Numbers of the output batch.
    pub(in crate::ops) fn output_len(&self) -> usize {
        self.batch * self.outputs * self.pixels()
    }

    /// The convolution whose output is the gradient by the input.
    pub(in crate::ops) fn backward(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }
}
