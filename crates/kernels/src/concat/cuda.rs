//! Concatenation of channels on an NVIDIA GPU.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::gpu::cuda::{Call, Module, Reading, empty, module, tensor};

static KERNELS: Module = module!("concat");

pub(super) fn concat(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Concat)
}

struct Concat;

/// Elements per sample.
fn width(dims: &[usize]) -> usize {
    dims[1..].iter().product()
}

/// The gradient with respect to `operand`, whose elements begin at `start` in every sample of
/// `grad`.
fn part(grad: &Tensor, start: usize, operand: &Tensor) -> Result<Tensor> {
    let reading = Reading::of(grad);
    let grad = reading.operand()?;
    let (device, dtype, len) = (grad.0.device(), grad.0.dtype(), operand.elem_count());
    let mut part = empty(device, dtype, len)?;
    let call = Call::typed(device, &KERNELS, "concat_part", dtype)?
        .input(grad)?
        .output(&mut part, 0)?
        .count(operand.dim(0)? as u64)
        .sizes(&[width(grad.1.dims()), start, width(operand.dims())])?;
    // SAFETY: the parameters match `concat.cu`; the part is within every sample of the joined
    // batch.
    unsafe { call.launch_for(len)? };
    Ok(tensor(part, operand.shape()))
}

impl CustomOp2 for Concat {
    fn name(&self) -> &'static str {
        "concat_channels"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("concat_channels: the GPU implementation received a tensor on the CPU")
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (batch, channels, height, columns) = a_layout.shape().dims4()?;
        let shape = Shape::from((batch, channels + b_layout.shape().dims4()?.1, height, columns));
        let device = a.device();
        let mut y = empty(device, a.dtype(), shape.elem_count())?;
        let call = Call::typed(device, &KERNELS, "concat", a.dtype())?
            .input((a, a_layout))?
            .input((b, b_layout))?
            .output(&mut y, 0)?
            .count(batch as u64)
            .sizes(&[width(a_layout.dims()), width(b_layout.dims())])?;
        // SAFETY: the parameters match `concat.cu`; the public function has compared the shapes.
        unsafe { call.launch_for(shape.elem_count())? };
        Ok((y, shape))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let grad_a = a.track_op().then(|| part(&grad, 0, a)).transpose()?;
        let grad_b = b.track_op().then(|| part(&grad, width(a.dims()), b)).transpose()?;
        Ok((grad_a, grad_b))
    }
}
