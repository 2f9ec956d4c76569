//! What the ways of convolving on an NVIDIA GPU share: kernels, sizes, directions.

use candle_core::{Result, Shape, bail};

use crate::gpu::cuda::{Module, module};

pub(super) static KERNELS: Module = module!("conv2d");

/// The sizes of one convolution.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kernel: usize,
}

impl Sizes {
    pub(super) fn new(x: &Shape, weight: &Shape) -> Result<Self> {
        let (batch, inputs, height, width) = x.dims4()?;
        let (outputs, _, kernel, _) = weight.dims4()?;
        let sizes = Self { batch, inputs, outputs, height, width, kernel };
        // Kernels count the pixels of a batch and the numbers of an image in 32 bits.
        let most = inputs.max(outputs).max(batch) * height * width;
        match i32::try_from(most) {
            Ok(_) => Ok(sizes),
            Err(_) => bail!("conv2d: images {x:?} are too large for the kernels of the GPU"),
        }
    }

    /// The convolution whose output is the gradient by the input.
    pub(super) fn backward(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }

    /// Of all images.
    pub(super) fn pixels(&self) -> usize {
        self.batch * self.height * self.width
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// In the order of the kernels' parameters.
    pub(super) fn images(&self) -> [usize; 5] {
        [self.inputs, self.height, self.width, self.batch, self.kernel]
    }
}

/// Which convolution a weight is packed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    /// The one whose output is the gradient by the input: channels exchanged, taps reversed.
    Backward,
}
