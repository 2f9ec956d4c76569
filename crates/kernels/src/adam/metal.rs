//! Adam and the moving average on an Apple GPU, in place.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, InplaceOp2, InplaceOp3, Layout, MetalStorage, Result, Tensor, Var, bail,
};

use super::AdamConfig;
use crate::gpu::metal::{Call, Library, Word, library};

static KERNELS: Library = library!("adam", "adam/adam.metal");

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

    fn metal_fwd(
        &self,
        x: &mut MetalStorage,
        x_layout: &Layout,
        y: &MetalStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let count = x_layout.shape().elem_count();
        Call::new(x.device(), &KERNELS, "average", x.dtype())?
            .in_place((x, x_layout))?
            .input((y, y_layout))?
            .constant(&[
                Word::Size(count),
                Word::Flag(self.squared),
                Word::Float(self.keep),
                Word::Float(1.0 - self.keep),
            ])?
            .launch_for(count)
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

    fn metal_fwd(
        &self,
        param: &mut MetalStorage,
        param_layout: &Layout,
        m: &MetalStorage,
        m_layout: &Layout,
        v: &MetalStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        let Self { keep, rate, scale, eps } = *self;
        let count = param_layout.shape().elem_count();
        let [keep, rate, scale, eps] = [keep, rate, scale, eps].map(Word::Float);
        Call::new(param.device(), &KERNELS, "update", param.dtype())?
            .in_place((param, param_layout))?
            .input((m, m_layout))?
            .input((v, v_layout))?
            .constant(&[Word::Size(count), keep, rate, scale, eps])?
            .launch_for(count)
    }
}
