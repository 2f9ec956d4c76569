//! Dropout on an Apple GPU. The mask is a pure function of its coordinates, so the backward pass
//! recomputes it.

use candle_core::backend::BackendStorage;
use candle_core::{MetalStorage, Result, Shape, Tensor};

use super::kernel::threshold;
use crate::gpu::metal::{
    Arm, Call, Library, Operand, Reading, Word, apply1, empty, library, tensor,
};
use crate::noise::NoiseStream;

static KERNELS: Library = library!("dropout", "noise/philox.metal", "dropout/dropout.metal");

pub(super) fn dropout(x: &Tensor, p: f64, stream: NoiseStream, position: u64) -> Result<Tensor> {
    apply1(x, Dropout { p, stream, position })
}

struct Dropout {
    p: f64,
    stream: NoiseStream,
    position: u64,
}

impl Dropout {
    fn apply(&self, x: Operand<'_>) -> Result<MetalStorage> {
        let (device, dtype, count) = (x.0.device(), x.0.dtype(), x.1.shape().elem_count());
        let samples = x.1.dims().first().copied().unwrap_or(1);
        let length = count.checked_div(samples).unwrap_or(0);
        let y = empty(device, dtype, count)?;
        Call::new(device, &KERNELS, "dropout", dtype)?
            .input(x)?
            .output(&y)
            .constant(&self.stream.words_of_constant(self.position, length, samples))?
            .constant(&[
                Word::Size(threshold(self.p as f32) as usize),
                Word::Float(1.0 / (1.0 - self.p)),
            ])?
            .launch_for(samples * length.div_ceil(4))?;
        Ok(y)
    }
}

impl Arm<1> for Dropout {
    const NAME: &'static str = "dropout";

    fn forward(&self, [x]: [Operand<'_>; 1]) -> Result<(MetalStorage, Shape)> {
        Ok((self.apply(x)?, x.1.shape().clone()))
    }

    fn backward(
        &self,
        [x]: [&Tensor; 1],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 1]> {
        let grad_x = self.apply(Reading::of(grad).operand()?)?;
        Ok([Some(tensor(grad_x, x.shape()))])
    }
}
