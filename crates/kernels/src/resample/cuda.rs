//! Resampling on an NVIDIA GPU, one thread per element of the output.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::cpu::Direction;
use super::kernel::Plan;
use crate::gpu::cuda::{Call, Module, Operand, Reading, empty, module, tensor};

static KERNELS: Module = module!("resample");

/// Largest number of taps of the kernels.
const TAPS: usize = 4;

pub(super) fn resample(x: &Tensor, direction: Direction, plan: Plan) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Resample { direction, plan })
}

struct Resample {
    /// Direction of the forward pass. The backward pass has the other direction.
    direction: Direction,
    plan: Plan,
}

impl Resample {
    /// Resamples `planes` images in this direction.
    fn run(&self, x: Operand<'_>, planes: usize, direction: Direction) -> Result<CudaStorage> {
        let device = x.0.device();
        let Plan { filter, padding, large, small } = self.plan;
        let (name, target) = match direction {
            Direction::Down => ("resample_down", small),
            Direction::Up => ("resample_up", large),
        };
        // Upsampling doubles along both axes, so its gradient has the same factor.
        let gain = match self.direction {
            Direction::Down => 1.0,
            Direction::Up => 2.0,
        };
        let len = planes * target[0] * target[1];
        let mut y = empty(device, x.0.dtype(), len)?;
        let taps = filter.taps();
        let mut call = Call::typed(device, &KERNELS, name, x.0.dtype())?
            .input(x)?
            .output(&mut y, 0)?
            .count(len as u64)
            .sizes(&[large[0], large[1], small[0], small[1], taps.len(), padding])?;
        for tap in 0..TAPS {
            call = call.float(taps.get(tap).copied().unwrap_or(0.0) * gain);
        }
        // SAFETY: the parameters match `resample.cu`; no filter has more than four taps, and the
        // kernel skips taps outside of an image.
        unsafe { call.launch_for(len)? };
        Ok(y)
    }
}

impl CustomOp1 for Resample {
    fn name(&self) -> &'static str {
        "resample"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("resample: the GPU implementation received a tensor on the CPU")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (batch, channels, _, _) = layout.shape().dims4()?;
        let [height, width] = match self.direction {
            Direction::Down => self.plan.small,
            Direction::Up => self.plan.large,
        };
        let y = self.run((x, layout), batch * channels, self.direction)?;
        Ok((y, Shape::from((batch, channels, height, width))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let back = match self.direction {
            Direction::Down => Direction::Up,
            Direction::Up => Direction::Down,
        };
        let (batch, channels, _, _) = x.dims4()?;
        let grad = grad.contiguous()?;
        let grad_x = self.run(Reading::of(&grad).operand()?, batch * channels, back)?;
        Ok(Some(tensor(grad_x, x.shape())))
    }
}
