//! Convolution on an NVIDIA GPU. The output and the gradient with respect to the input are matrix
//! products. The gradient with respect to the weight is a correlation over all pixels, in partial
//! sums that are added in a fixed order. Where unrolling [`columns`] pays, cuBLAS computes these
//! products.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape};
use candle_core::{Tensor, bail};

use super::columns;
use super::launch::{Direction, KERNELS, Sizes};
use crate::gpu::cuda::{Call, Operand, Reading, THREADS, empty, tensor};

/// Number of blocks that keep a large GPU busy.
const BUSY: usize = 256;

pub(in crate::conv2d) fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Conv2d),
        None => x.apply_op2(&weight, Conv2d),
    }
}

struct Conv2d;

/// Side of a tile of the gradient with respect to the weight, as in `conv2d.cu`.
const WEIGHT_SIDE: usize = 64;

/// Returns the side of a tile, and the number of blocks along both axes of a matrix. Large tiles
/// read less memory, but need enough of them to keep the GPU busy.
fn tiles(rows: usize, columns: usize) -> (usize, [usize; 2]) {
    let count = |side: usize| [columns.div_ceil(side), rows.div_ceil(side)];
    let large = count(128);
    if 64 < rows && 64 < columns && BUSY / 2 <= large[0] * large[1] {
        (128, large)
    } else {
        (64, count(64))
    }
}

/// Convolves `x` with `weight`; `sizes` are the sizes of this convolution.
fn convolve(
    x: Operand<'_>,
    weight: Operand<'_>,
    bias: Option<Operand<'_>>,
    sizes: Sizes,
    direction: Direction,
) -> Result<CudaStorage> {
    if columns::pays(&sizes) {
        return columns::convolve(x, weight, bias, &sizes, direction);
    }
    let (device, dtype) = (x.0.device(), x.0.dtype());
    let Sizes { inputs, outputs, .. } = sizes;
    let (taps, stride) = (sizes.taps(), outputs.next_multiple_of(4));
    let strides = match direction {
        Direction::Forward => [inputs * taps, taps, 0],
        Direction::Backward => [taps, outputs * taps, 1],
    };
    let packed_len = taps * inputs * stride;
    let mut packed = empty(device, DType::F32, packed_len)?;
    let call = Call::typed(device, &KERNELS, "conv2d_pack", dtype)?
        .input(weight)?
        .output(&mut packed, 0)?
        .sizes(&[outputs, inputs, taps])?
        .sizes(&strides)?
        .size(stride)?;
    // SAFETY: parameters as in `conv2d.cu`; it reads the weight and writes `packed_len` elements.
    unsafe { call.launch_for(packed_len)? };

    let mut y = empty(device, dtype, sizes.pixels() * outputs)?;
    let (side, [columns, rows]) = tiles(outputs, sizes.pixels());
    let call = Call::typed(device, &KERNELS, &format!("conv2d_{side}"), dtype)?
        .input(x)?
        .scratch(&packed, 0)?
        .optional(bias)?
        .output(&mut y, 0)?
        .sizes(&sizes.images())?
        .sizes(&[outputs, stride])?;
    // SAFETY: parameters as in `conv2d.cu`; tiles cover the output and are clipped at its ends.
    unsafe { call.launch([columns, rows, 1], THREADS)? };
    Ok(y)
}

/// Computes the gradient with respect to the weight.
fn grad_weight(x: Operand<'_>, grad: Operand<'_>, sizes: Sizes) -> Result<CudaStorage> {
    if columns::pays(&sizes) {
        return columns::grad_weight(x, grad, &sizes);
    }
    let (device, dtype) = (x.0.device(), x.0.dtype());
    let Sizes { inputs, outputs, .. } = sizes;
    let (taps, matrix) = (sizes.taps(), inputs * outputs);
    let [columns, rows] = [inputs.div_ceil(WEIGHT_SIDE), outputs.div_ceil(WEIGHT_SIDE)];
    // With fewer pixels in a partial sum, adding the sums costs more than it saves.
    const SHARE: usize = 256;
    let wanted = (2 * BUSY).div_ceil(columns * rows * taps);
    let splits = wanted.clamp(1, sizes.pixels().div_ceil(SHARE).max(1));
    let mut partial = empty(device, DType::F32, splits * taps * matrix)?;
    let call = Call::typed(device, &KERNELS, "conv2d_weight", dtype)?
        .input(x)?
        .input(grad)?
        .output(&mut partial, 0)?
        .sizes(&sizes.images())?
        .sizes(&[outputs, splits])?;
    // SAFETY: parameters as in `conv2d.cu`; each block writes a tile of its split and tap, also for
    // splits without pixels.
    unsafe { call.launch([columns, rows, taps * splits], THREADS)? };

    let mut sums = empty(device, dtype, taps * matrix)?;
    let call = Call::typed(device, &KERNELS, "conv2d_splits", dtype)?
        .scratch(&partial, 0)?
        .output(&mut sums, 0)?
        .sizes(&[matrix, taps, splits])?;
    // SAFETY: parameters as in `conv2d.cu`; `partial` has as many elements for every split.
    unsafe { call.launch_for(taps * matrix)? };
    Ok(sums)
}

/// Computes the gradient with respect to the bias.
fn grad_bias(grad: Operand<'_>, sizes: Sizes) -> Result<CudaStorage> {
    let (device, dtype) = (grad.0.device(), grad.0.dtype());
    let mut sums = empty(device, dtype, sizes.outputs)?;
    let call = Call::typed(device, &KERNELS, "conv2d_bias", dtype)?
        .input(grad)?
        .output(&mut sums, 0)?
        .sizes(&[sizes.outputs, sizes.height * sizes.width, sizes.batch])?;
    // SAFETY: parameters as in `conv2d.cu`; one block per channel.
    unsafe { call.launch([sizes.outputs, 1, 1], THREADS)? };
    Ok(sums)
}

fn forward(
    x: Operand<'_>,
    weight: Operand<'_>,
    bias: Option<Operand<'_>>,
) -> Result<(CudaStorage, Shape)> {
    let sizes = Sizes::new(x.1.shape(), weight.1.shape())?;
    let y = convolve(x, weight, bias, sizes, Direction::Forward)?;
    Ok((y, Shape::from((sizes.batch, sizes.outputs, sizes.height, sizes.width))))
}

/// Computes the gradients with respect to the input and the weight, except for frozen operands.
fn backward(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
) -> Result<(Option<Tensor>, Option<Tensor>)> {
    let sizes = Sizes::new(x.shape(), weight.shape())?;
    let (images, weights, grads) = (Reading::of(x), Reading::of(weight), Reading::of(grad));
    let grad_x = x.track_op().then(|| -> Result<Tensor> {
        let (grad, weight) = (grads.operand()?, weights.operand()?);
        let grad_x = convolve(grad, weight, None, sizes.backward(), Direction::Backward)?;
        Ok(tensor(grad_x, x.shape()))
    });
    let grad_weight = weight.track_op().then(|| -> Result<Tensor> {
        let sums = grad_weight(images.operand()?, grads.operand()?, sizes)?;
        Ok(tensor(sums, weight.shape()))
    });
    Ok((grad_x.transpose()?, grad_weight.transpose()?))
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("conv2d: the CUDA implementation requires tensors on a GPU")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        backward(x, weight, &grad.contiguous()?)
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("conv2d: the CUDA implementation requires tensors on a GPU")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        bias: &CudaStorage,
        bias_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        forward((x, x_layout), (weight, weight_layout), Some((bias, bias_layout)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (grad_x, grad_weight) = backward(x, weight, &grad)?;
        let grad_bias = bias.track_op().then(|| -> Result<Tensor> {
            let sizes = Sizes::new(x.shape(), weight.shape())?;
            Ok(tensor(grad_bias(Reading::of(&grad).operand()?, sizes)?, bias.shape()))
        });
        Ok((grad_x, grad_weight, grad_bias.transpose()?))
    }
}
