//! Group normalization on an NVIDIA GPU, one block per group. The backward pass recomputes the
//! moments, because reading a group again is cheaper than storing them.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::gpu::cuda::{Call, Module, Operand, Reading, THREADS, empty, module, tensor};

static KERNELS: Module = module!("group_norm");

/// Threads of a warp, which sums one channel in the backward pass.
const WARP: usize = 32;

/// Weight and bias are `[C]`, or `[B, C]` with one pair per sample.
pub(super) fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    let op = GroupNorm { groups, eps, silu };
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

struct GroupNorm {
    groups: usize,
    eps: f64,
    silu: bool,
}

impl GroupNorm {
    /// The sizes, in the order of the kernels' parameters.
    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<[usize; 5]> {
        let (_, channels, height, width) = x.dims4()?;
        let (per_sample, silu) = (weight.rank() == 2, self.silu);
        Ok([channels, self.groups, height * width, usize::from(per_sample), usize::from(silu)])
    }

    /// The gradient with respect to `x`, and those with respect to weight and bias per sample and
    /// channel, in f32.
    fn backward(&self, [x, weight, bias, grad]: [Operand<'_>; 4]) -> Result<[CudaStorage; 3]> {
        let (device, dtype) = (x.0.device(), x.0.dtype());
        let sizes = self.sizes(x.1.shape(), weight.1.shape())?;
        let [channels, groups, ..] = sizes;
        let batch = x.1.shape().dims4()?.0;
        let mut grad_x = empty(device, dtype, x.1.shape().elem_count())?;
        let mut grad_weight = empty(device, DType::F32, batch * channels)?;
        let mut grad_bias = empty(device, DType::F32, batch * channels)?;
        let call = Call::typed(device, &KERNELS, "group_norm_backward", dtype)?
            .input(x)?
            .input(weight)?
            .input(bias)?
            .input(grad)?
            .output(&mut grad_x, 0)?
            .output(&mut grad_weight, 0)?
            .output(&mut grad_bias, 0)?
            .sizes(&sizes)?
            .float(self.eps);
        // One warp per channel, up to a limit.
        let warps = (channels / groups).clamp(4, THREADS / WARP);
        // SAFETY: the parameters match `group_norm.cu`; one block per group of a sample.
        unsafe { call.launch([batch * groups, 1, 1], warps * WARP)? };
        Ok([grad_x, grad_weight, grad_bias])
    }
}

/// Reduces `rows: [B, C]` in f32 to the shape and type of `operand`, which is `[C]` or `[B, C]`.
fn gradient(rows: &CudaStorage, operand: &Tensor, batch: usize) -> Result<Tensor> {
    let device = rows.device();
    let width = operand.elem_count();
    let batch = if operand.rank() == 2 { 1 } else { batch };
    let mut sums = empty(device, operand.dtype(), width)?;
    let call = Call::typed(device, &KERNELS, "group_norm_sums", operand.dtype())?
        .scratch(rows, 0)?
        .output(&mut sums, 0)?
        .sizes(&[batch, width])?;
    // SAFETY: the parameters match `group_norm.cu`; `rows` has B · C elements.
    unsafe { call.launch([width.div_ceil(THREADS), 1, 1], THREADS)? };
    Ok(tensor(sums, operand.shape()))
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
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
        bail!("group_norm: the GPU implementation received a tensor on the CPU")
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
        let device = x.device();
        let shape = x_layout.shape();
        let mut y = empty(device, x.dtype(), shape.elem_count())?;
        let call = Call::typed(device, &KERNELS, "group_norm", x.dtype())?
            .input((x, x_layout))?
            .input((weight, weight_layout))?
            .input((bias, bias_layout))?
            .output(&mut y, 0)?
            .sizes(&self.sizes(shape, weight_layout.shape())?)?
            .float(self.eps);
        // SAFETY: the parameters match `group_norm.cu`; one block per group of a sample.
        unsafe { call.launch([shape.dims4()?.0 * self.groups, 1, 1], THREADS)? };
        Ok((y, shape.clone()))
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
        let readings = [x, weight, bias, &grad].map(Reading::of);
        let [a, b, c, d] = &readings;
        let operands = [a.operand()?, b.operand()?, c.operand()?, d.operand()?];
        let [grad_x, grad_weight, grad_bias] = self.backward(operands)?;
        let batch = x.dim(0)?;
        let of = |rows: &CudaStorage, operand: &Tensor| {
            operand.track_op().then(|| gradient(rows, operand, batch)).transpose()
        };
        let grad_x = x.track_op().then(|| tensor(grad_x, x.shape()));
        Ok((grad_x, of(&grad_weight, weight)?, of(&grad_bias, bias)?))
    }
}
