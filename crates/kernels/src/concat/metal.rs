//! Concatenation of channels on an Apple GPU, and extraction of a part.

use candle_core::backend::BackendStorage;
use candle_core::{MetalStorage, Result, Shape, Tensor};

use crate::gpu::metal::{
    Arm, Call, Library, Operand, Reading, Word, apply2, empty, library, tensor,
};

static KERNELS: Library = library!("concat", "concat/concat.metal");

pub(super) fn concat(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply2(a, b, Concat)
}

struct Concat;

/// Elements per sample.
fn sample(dims: &[usize]) -> usize {
    dims[1..].iter().product()
}

/// The gradient with respect to `operand`, whose elements begin at `start` in every sample of
/// `grad`.
fn part(grad: Operand<'_>, start: usize, operand: &Tensor) -> Result<Tensor> {
    let (device, dtype, count) = (grad.0.device(), grad.0.dtype(), operand.elem_count());
    let [length, part] = [grad.1.dims(), operand.dims()].map(sample);
    let y = empty(device, dtype, count)?;
    Call::new(device, &KERNELS, "part", dtype)?
        .input(grad)?
        .output(&y)
        .constant(&[count, length, start, part].map(Word::Size))?
        .launch_for(count)?;
    Ok(tensor(y, operand.shape()))
}

impl Arm<2> for Concat {
    const NAME: &'static str = "concat_channels";

    fn forward(&self, [a, b]: [Operand<'_>; 2]) -> Result<(MetalStorage, Shape)> {
        let (device, dtype) = (a.0.device(), a.0.dtype());
        let (batch, a_channels, height, width) = a.1.shape().dims4()?;
        let channels = a_channels + b.1.shape().dims4()?.1;
        let [a_length, b_length] = [a.1.dims(), b.1.dims()].map(sample);
        let count = batch * (a_length + b_length);
        let y = empty(device, dtype, count)?;
        Call::new(device, &KERNELS, "concat", dtype)?
            .input(a)?
            .input(b)?
            .output(&y)
            .constant(&[count, a_length, b_length].map(Word::Size))?
            .launch_for(count)?;
        Ok((y, Shape::from((batch, channels, height, width))))
    }

    fn backward(
        &self,
        [a, b]: [&Tensor; 2],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        let grad = Reading::of(grad);
        let grad = grad.operand()?;
        let grad_a = a.track_op().then(|| part(grad, 0, a)).transpose()?;
        let grad_b = b.track_op().then(|| part(grad, sample(a.dims()), b)).transpose()?;
        Ok([grad_a, grad_b])
    }
}
