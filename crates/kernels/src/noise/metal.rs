//! Noise on an Apple GPU: the same numbers as on the CPU, bit for bit.

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

use super::NoiseStream;
use crate::gpu::metal::{Call, Library, Word, empty, library, tensor};

static KERNELS: Library = library!("noise", "noise/philox.metal", "noise/noise.metal");

/// Standard normal values. The CPU computes them, because Metal has no f64, and copies them to the
/// GPU.
pub(super) fn normal(
    stream: &NoiseStream,
    start: u64,
    shape: &Shape,
    device: &Device,
) -> Result<Tensor> {
    stream.tensor(start, shape.clone(), device, NoiseStream::fill_normal)
}

pub(super) fn uniform(
    stream: &NoiseStream,
    start: u64,
    shape: &Shape,
    device: &Device,
) -> Result<Tensor> {
    let Device::Metal(device) = device else {
        bail!("noise: the Metal implementation received a device that is not a Metal device")
    };
    let count = shape.elem_count();
    let samples = shape.dims().first().copied().unwrap_or(1);
    let length = count.checked_div(samples).unwrap_or(0);
    let y = empty(device, DType::F32, count)?;
    Call::new(device, &KERNELS, "uniform", DType::F32)?
        .output(&y)
        .constant(&stream.words_of_constant(start, length, samples))?
        .launch_for(samples * length.div_ceil(4))?;
    Ok(tensor(y, shape))
}

impl NoiseStream {
    /// The kernels' `Stream`: `samples` samples of `length` elements starting at `position`.
    pub(crate) fn words_of_constant(
        &self,
        position: u64,
        length: usize,
        samples: usize,
    ) -> [Word; 6] {
        [
            Word::Long(self.seed),
            Word::Long(position),
            Word::Size(self.stream as usize),
            Word::Size(length),
            Word::Size(samples),
            // Pads the structure to a multiple of eight bytes.
            Word::Size(0),
        ]
    }
}
