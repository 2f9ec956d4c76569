//! Adam and the moving average on an NVIDIA GPU, in place.

use candle_core::backend::BackendStorage;
use candle_core::bail;
use candle_core::{CpuStorage, CudaStorage, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var};

use super::AdamConfig;
use crate::gpu::cuda::{Call, Module, module};

static KERNELS: Module = module!("adam");

/// [`super::step`]; the operands have the same shape, and all but `grad` are contiguous.
pub(super) fn step(
    config: &AdamConfig,
    t: u64,
    param: &Var,
    m: &Var,
    v: &Var,
    grad: &Tensor,
) -> Result<()> {
    let AdamConfig { learning_rate, beta1, beta2, eps, weight_decay } = *config;
    let grad = grad.contiguous()?;
    m.inplace_op2(&grad, &Average { keep: beta1, squared: false })?;
    v.inplace_op2(&grad, &Average { keep: beta2, squared: true })?;
    let t = t as f64;
    let update = Update {
        keep: 1.0 - learning_rate * weight_decay,
        rate: learning_rate / (1.0 - beta1.powf(t)),
        scale: 1.0 / (1.0 - beta2.powf(t)),
        eps,
    };
    param.inplace_op3(m, v, &update)
}

/// [`super::ema_update`]; the operands have the same shape, and `ema` is contiguous.
pub(super) fn average(ema: &Var, param: &Tensor, beta: f64) -> Result<()> {
    ema.inplace_op2(&param.contiguous()?, &Average { keep: beta, squared: false })
}

/// Offset of a contiguous operand.
fn start(layout: &Layout) -> Result<usize> {
    match layout.contiguous_offsets() {
        Some((start, _)) => Ok(start),
        None => bail!("a kernel received a tensor that is not contiguous"),
    }
}

/// `x ← keep · x + (1 − keep) · f(y)` with `f` the identity or the square.
struct Average {
    keep: f64,
    squared: bool,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "moving_average"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<()> {
        bail!("moving_average: the GPU implementation received a tensor on the CPU")
    }

    fn cuda_fwd(
        &self,
        x: &mut CudaStorage,
        x_layout: &Layout,
        y: &CudaStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let (device, dtype, len) = (x.device().clone(), x.dtype(), x_layout.shape().elem_count());
        let call = Call::typed(&device, &KERNELS, "average", dtype)?
            .output(x, start(x_layout)?)?
            .input((y, y_layout))?
            .count(len as u64)
            .float(self.keep)
            .float(1.0 - self.keep)
            .size(usize::from(self.squared))?;
        // SAFETY: the parameters match `adam.cu`; the callers have compared the shapes.
        unsafe { call.launch_for(len) }
    }
}

/// `θ ← keep · θ − rate · m / (√(v · scale) + ε)`.
struct Update {
    keep: f64,
    rate: f64,
    scale: f64,
    eps: f64,
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        bail!("adam: the GPU implementation received a tensor on the CPU")
    }

    fn cuda_fwd(
        &self,
        param: &mut CudaStorage,
        param_layout: &Layout,
        m: &CudaStorage,
        m_layout: &Layout,
        v: &CudaStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        let (device, dtype) = (param.device().clone(), param.dtype());
        let len = param_layout.shape().elem_count();
        let call = Call::typed(&device, &KERNELS, "adam", dtype)?
            .output(param, start(param_layout)?)?
            .input((m, m_layout))?
            .input((v, v_layout))?
            .count(len as u64)
            .float(self.keep)
            .float(self.rate)
            .float(self.scale)
            .float(self.eps);
        // SAFETY: the parameters match `adam.cu`; the caller has compared the shapes.
        unsafe { call.launch_for(len) }
    }
}
