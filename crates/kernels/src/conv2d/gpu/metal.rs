//! Convolution on an Apple GPU, as products of tiles.

use candle_core::backend::BackendStorage;
use candle_core::{DType, MetalStorage, Result, Shape, Tensor};

use crate::conv2d::geometry::Geometry;
use crate::gpu::metal::{
    Arm, Call, Library, Operand, Reading, THREADS, Word, apply2, apply3, empty, library,
    sum_leading, sum_rows, tensor,
};

static KERNELS: Library = library!("conv2d", "conv2d/conv2d.metal");

/// Rows and columns that a threadgroup writes, as in `conv2d.metal`.
const TILE: usize = 64;

/// Elements that a threadgroup stages: 16 terms, in rows of 65, of both factors.
const FLOATS: usize = 2 * 16 * 65;

/// Number of threadgroups that keep a GPU busy.
const BUSY: usize = 256;

pub(in crate::conv2d) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    match bias {
        Some(bias) => apply3(x, weight, bias, Conv2d),
        None => apply2(x, weight, Conv2d),
    }
}

struct Conv2d;

fn geometry(x: &Shape, weight: &Shape) -> Result<Geometry> {
    let (batch, inputs, height, width) = x.dims4()?;
    let (outputs, _, kernel, _) = weight.dims4()?;
    Ok(Geometry { batch, inputs, outputs, height, width, kernel })
}

/// Returns the kernels' `ConvSizes`.
fn constant(it: &Geometry, flipped: bool, biased: bool, run: usize) -> [Word; 9] {
    let [batch, inputs, outputs] = [it.batch, it.inputs, it.outputs].map(Word::Size);
    let [height, width, side] = [it.height, it.width, it.kernel].map(Word::Size);
    let [flipped, biased] = [flipped, biased].map(Word::Flag);
    [batch, inputs, outputs, height, width, side, flipped, biased, Word::Size(run)]
}

/// Convolves `x` with `weight`, or with its transpose for the gradient with respect to the input.
/// The geometry describes this convolution.
fn convolve(
    [x, weight]: [Operand<'_>; 2],
    bias: Option<Operand<'_>>,
    geometry: &Geometry,
    flipped: bool,
) -> Result<MetalStorage> {
    let (device, dtype) = (x.0.device(), x.0.dtype());
    let columns = geometry.batch * geometry.pixels();
    let y = empty(device, dtype, geometry.output_len())?;
    Call::new(device, &KERNELS, "conv2d", dtype)?
        .input(x)?
        .input(weight)?
        // The kernel requires a buffer here, but does not read it without a bias.
        .input(bias.unwrap_or(weight))?
        .output(&y)
        .constant(&constant(geometry, flipped, bias.is_some(), 0))?
        .shared(FLOATS)
        .launch([columns.div_ceil(TILE), geometry.outputs.div_ceil(TILE), 1], THREADS)?;
    Ok(y)
}

/// Computes the gradient with respect to the weight. Runs of pixels are summed in parallel, and
/// their sums are added in a fixed order.
fn grad_weight(x: Operand<'_>, grad: Operand<'_>, geometry: &Geometry) -> Result<MetalStorage> {
    let (device, dtype) = (x.0.device(), x.0.dtype());
    let len = geometry.outputs * geometry.inputs * geometry.taps();
    let pixels = geometry.batch * geometry.pixels();
    let [columns, rows] = [geometry.inputs, geometry.outputs].map(|it| it.div_ceil(TILE));
    // With shorter runs, adding the sums costs more than it saves.
    const SHORTEST: usize = 256;
    let wanted = BUSY.div_ceil(columns * rows * geometry.taps());
    let run = pixels.div_ceil(wanted).max(SHORTEST);
    let parts = pixels.div_ceil(run);
    let sums = empty(device, DType::F32, parts * len)?;
    Call::new(device, &KERNELS, "through_weight", dtype)?
        .input(x)?
        .input(grad)?
        .output(&sums)
        .constant(&constant(geometry, false, false, run))?
        .shared(FLOATS)
        .launch([columns, rows, geometry.taps() * parts], THREADS)?;
    sum_leading(&sums, parts, len, dtype)
}

fn forward(operands: [Operand<'_>; 2], bias: Option<Operand<'_>>) -> Result<(MetalStorage, Shape)> {
    let geometry = geometry(operands[0].1.shape(), operands[1].1.shape())?;
    let y = convolve(operands, bias, &geometry, false)?;
    let Geometry { batch, outputs, height, width, .. } = geometry;
    Ok((y, Shape::from((batch, outputs, height, width))))
}

/// Computes the gradients with respect to the input and the weight, except for frozen operands.
fn backward(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 2]> {
    let geometry = geometry(x.shape(), weight.shape())?;
    let readings = [x, weight, grad].map(Reading::of);
    let [a, b, c] = &readings;
    let (images, weights, grads) = (a.operand()?, b.operand()?, c.operand()?);
    let grad_x = || convolve([grads, weights], None, &geometry.backward(), true);
    let grad_x = x.track_op().then(grad_x).transpose()?;
    let grad_weight = || grad_weight(images, grads, &geometry);
    let grad_weight = weight.track_op().then(grad_weight).transpose()?;
    let [x, weight] = [x, weight].map(Tensor::shape);
    Ok([grad_x.map(|it| tensor(it, x)), grad_weight.map(|it| tensor(it, weight))])
}

/// Computes the gradient with respect to the bias: sums of `[B, O, pixels]` over the pixels, then
/// over the batch.
fn grad_bias(grad: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (batch, outputs, height, width) = grad.dims4()?;
    let sums = sum_rows(Reading::of(grad).operand()?, batch * outputs, height * width)?;
    Ok(tensor(sum_leading(&sums, batch, outputs, bias.dtype())?, bias.shape()))
}

impl Arm<2> for Conv2d {
    const NAME: &'static str = "conv2d";

    fn forward(&self, operands: [Operand<'_>; 2]) -> Result<(MetalStorage, Shape)> {
        forward(operands, None)
    }

    fn backward(
        &self,
        [x, weight]: [&Tensor; 2],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        backward(x, weight, grad)
    }
}

impl Arm<3> for Conv2d {
    const NAME: &'static str = "conv2d";

    fn forward(&self, [x, weight, bias]: [Operand<'_>; 3]) -> Result<(MetalStorage, Shape)> {
        forward([x, weight], Some(bias))
    }

    fn backward(
        &self,
        [x, weight, bias]: [&Tensor; 3],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let [grad_x, grad_weight] = backward(x, weight, grad)?;
        let grad_bias = bias.track_op().then(|| grad_bias(grad, bias)).transpose()?;
        Ok([grad_x, grad_weight, grad_bias])
    }
}
