//! Dropout on an NVIDIA GPU. The mask is a pure function of its coordinates, so the backward pass
//! recomputes it.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::gpu::cuda::{Call, Module, Operand, Reading, empty, module, tensor};
use crate::noise::NoiseStream;

static KERNELS: Module = module!("dropout");

pub(super) fn dropout(x: &Tensor, p: f64, stream: NoiseStream, position: u64) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Dropout { p, stream, position })
}

struct Dropout {
    p: f64,
    stream: NoiseStream,
    position: u64,
}

impl Dropout {
    fn apply(&self, x: Operand<'_>) -> Result<CudaStorage> {
        let device = x.0.device();
        let len = x.1.shape().elem_count();
        let rows = x.1.dims().first().copied().unwrap_or(1);
        let width = len.checked_div(rows).unwrap_or(0);
        let mut y = empty(device, x.0.dtype(), len)?;
        let call = Call::typed(device, &KERNELS, "dropout", x.0.dtype())?
            .input(x)?
            .output(&mut y, 0)?
            .count(rows as u64)
            .size(width)?
            .count(self.stream.seed)
            .size(self.stream.stream as usize)?
            .count(self.position)
            .float(self.p)
            .float(1.0 / (1.0 - self.p));
        // SAFETY: the parameters match `dropout.cu`; blocks of four cover the rows, clipped at
        // their ends.
        unsafe { call.launch_for(rows * width.div_ceil(4))? };
        Ok(y)
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("dropout: the GPU implementation received a tensor on the CPU")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((self.apply((x, layout))?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let grad_x = self.apply(Reading::of(&grad).operand()?)?;
        Ok(Some(tensor(grad_x, x.shape())))
    }
}
