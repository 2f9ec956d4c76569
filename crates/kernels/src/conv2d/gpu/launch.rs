//! Kernels, sizes and directions that the algorithms on NVIDIA GPUs share.

use candle_core::{Result, Shape, bail};

use crate::gpu::cuda::{Module, module};

pub(super) static KERNELS: Module = module!("conv2d");

/// Sizes of a convolution.
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
        // Kernels count the pixels of a batch and the elements of an image in 32 bits.
        let most = inputs.max(outputs).max(batch) * height * width;
        match i32::try_from(most) {
            Ok(_) => Ok(sizes),
            Err(_) => {
                bail!("conv2d: images {x:?} are too large for the GPU kernels, use a smaller batch")
            }
        }
    }

    /// The convolution that computes the gradient with respect to the input.
    pub(super) fn backward(self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..self }
    }

    /// Pixels of all images.
    pub(super) fn pixels(&self) -> usize {
        self.batch * self.height * self.width
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Sizes in the order of the kernels' parameters.
    pub(super) fn images(&self) -> [usize; 5] {
        [self.inputs, self.height, self.width, self.batch, self.kernel]
    }
}

/// Convolution that a weight is packed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    /// The gradient with respect to the input: channels exchanged, taps reversed.
    Backward,
}
