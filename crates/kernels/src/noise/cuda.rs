//! Noise on an NVIDIA GPU, from the same words as on the CPU. Uniform numbers have the same bits.
//! Normal numbers are computed in f64 on both devices; after rounding to f32, about one in some
//! hundred million differs in the last bit.

use candle_core::{DType, Device, Result, Shape, Tensor, bail};

use super::NoiseStream;
use crate::gpu::cuda::{Call, Module, empty, module, tensor};

static KERNELS: Module = module!("noise");

pub(super) fn normal(
    stream: &NoiseStream,
    start: u64,
    shape: &Shape,
    device: &Device,
) -> Result<Tensor> {
    fill("noise_normal", stream, start, shape, device)
}

pub(super) fn uniform(
    stream: &NoiseStream,
    start: u64,
    shape: &Shape,
    device: &Device,
) -> Result<Tensor> {
    fill("noise_uniform", stream, start, shape, device)
}

fn fill(
    name: &str,
    stream: &NoiseStream,
    start: u64,
    shape: &Shape,
    device: &Device,
) -> Result<Tensor> {
    let Device::Cuda(device) = device else {
        bail!("noise: the CUDA implementation received a device that is not a CUDA device")
    };
    let rows = shape.dims().first().copied().unwrap_or(1);
    let width = shape.elem_count().checked_div(rows).unwrap_or(0);
    let mut out = empty(device, DType::F32, shape.elem_count())?;
    let call = Call::plain(device, &KERNELS, name)
        .output(&mut out, 0)?
        .count(rows as u64)
        .size(width)?
        .count(stream.seed)
        .size(stream.stream as usize)?
        .count(start);
    // SAFETY: the parameters match `noise.cu`; blocks of four cover the rows, clipped at their
    // ends.
    unsafe { call.launch_for(rows * width.div_ceil(4))? };
    Ok(tensor(out, shape))
}
