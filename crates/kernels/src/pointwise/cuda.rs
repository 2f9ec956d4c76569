//! Element-wise operations on an NVIDIA GPU.

use candle_core::backend::BackendStorage;
use candle_core::bail;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use crate::gpu::cuda::{Call, Module, Operand, Reading, THREADS, empty, module, tensor};

static KERNELS: Module = module!("pointwise");

pub(super) fn add_scaled(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, AddScaled { scale })
}

pub(super) fn add_channels(x: &Tensor, c: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&c.contiguous()?, AddChannels)
}

pub(super) fn silu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Map { name: "silu", through: "through_silu", of_output: false })
}

pub(super) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    let op = Map { name: "sigmoid", through: "through_sigmoid", of_output: true };
    x.contiguous()?.apply_op1(op)
}

pub(super) fn softplus(x: &Tensor) -> Result<Tensor> {
    let op = Map { name: "softplus", through: "through_softplus", of_output: false };
    x.contiguous()?.apply_op1(op)
}

fn refuse<T>() -> Result<T> {
    bail!("an element-wise GPU implementation received a tensor on the CPU")
}

/// `y = f(x)`, element-wise.
fn map(name: &str, x: Operand<'_>) -> Result<CudaStorage> {
    let (device, len) = (x.0.device(), x.1.shape().elem_count());
    let mut y = empty(device, x.0.dtype(), len)?;
    let call = Call::typed(device, &KERNELS, name, x.0.dtype())?
        .input(x)?
        .output(&mut y, 0)?
        .count(len as u64);
    // SAFETY: the parameters match `pointwise.cu`; both have `len` elements.
    unsafe { call.launch_for(len)? };
    Ok(y)
}

/// `z = f(x, y)`, element-wise.
fn zip(name: &str, x: Operand<'_>, y: Operand<'_>) -> Result<CudaStorage> {
    let (device, len) = (x.0.device(), x.1.shape().elem_count());
    if y.1.shape().elem_count() != len {
        bail!("{name}: {:?} and {:?} differ", x.1.shape(), y.1.shape());
    }
    let mut z = empty(device, x.0.dtype(), len)?;
    let call = Call::typed(device, &KERNELS, name, x.0.dtype())?
        .input(x)?
        .input(y)?
        .output(&mut z, 0)?
        .count(len as u64);
    // SAFETY: the parameters match `pointwise.cu`; all have `len` elements.
    unsafe { call.launch_for(len)? };
    Ok(z)
}

/// `x · scale`.
fn scaled(x: Operand<'_>, scale: f64) -> Result<CudaStorage> {
    let (device, len) = (x.0.device(), x.1.shape().elem_count());
    let mut y = empty(device, x.0.dtype(), len)?;
    let call = Call::typed(device, &KERNELS, "scaled", x.0.dtype())?
        .input(x)?
        .output(&mut y, 0)?
        .count(len as u64)
        .float(scale);
    // SAFETY: the parameters match `pointwise.cu`; both have `len` elements.
    unsafe { call.launch_for(len)? };
    Ok(y)
}

/// The sum of every `pixels` consecutive elements.
fn sums(x: Operand<'_>, count: usize, pixels: usize) -> Result<CudaStorage> {
    let device = x.0.device();
    let mut sums = empty(device, x.0.dtype(), count)?;
    let call = Call::typed(device, &KERNELS, "sum_pixels", x.0.dtype())?
        .input(x)?
        .output(&mut sums, 0)?
        .size(pixels)?;
    // A block of whole warps, no larger than the number of terms.
    let threads = pixels.next_multiple_of(32).min(THREADS);
    // SAFETY: the parameters match `pointwise.cu`; `x` has `count` · `pixels` elements.
    unsafe { call.launch([count, 1, 1], threads)? };
    Ok(sums)
}

/// A function of one element.
struct Map {
    name: &'static str,
    /// Kernel of the derivative times the gradient.
    through: &'static str,
    /// True if that kernel reads the function's value instead of its argument.
    of_output: bool,
}

impl CustomOp1 for Map {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        refuse()
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((map(self.name, (x, layout))?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let argument = if self.of_output { y } else { x };
        let (grad, argument) = (grad.contiguous()?, argument.contiguous()?);
        let (argument, grad) = (Reading::of(&argument), Reading::of(&grad));
        let grad_x = zip(self.through, argument.operand()?, grad.operand()?)?;
        Ok(Some(tensor(grad_x, x.shape())))
    }
}

/// `(a + b) · scale`.
struct AddScaled {
    scale: f64,
}

impl CustomOp2 for AddScaled {
    fn name(&self) -> &'static str {
        "add_scaled"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        refuse()
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (device, len) = (a.device(), a_layout.shape().elem_count());
        let mut y = empty(device, a.dtype(), len)?;
        let call = Call::typed(device, &KERNELS, "add_scaled", a.dtype())?
            .input((a, a_layout))?
            .input((b, b_layout))?
            .output(&mut y, 0)?
            .count(len as u64)
            .float(self.scale);
        // SAFETY: the parameters match `pointwise.cu`; the public function has compared the shapes.
        unsafe { call.launch_for(len)? };
        Ok((y, a_layout.shape().clone()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let grad_sum = scaled(Reading::of(&grad).operand()?, self.scale)?;
        let grad_sum = tensor(grad_sum, a.shape());
        let of = |operand: &Tensor| operand.track_op().then(|| grad_sum.clone());
        Ok((of(a), of(b)))
    }
}

/// `x + c`, with one `c` per channel and sample.
struct AddChannels;

impl CustomOp2 for AddChannels {
    fn name(&self) -> &'static str {
        "add_channels"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        refuse()
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        c: &CudaStorage,
        c_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (device, len) = (x.device(), x_layout.shape().elem_count());
        let (_, _, height, width) = x_layout.shape().dims4()?;
        let mut y = empty(device, x.dtype(), len)?;
        let call = Call::typed(device, &KERNELS, "add_channels", x.dtype())?
            .input((x, x_layout))?
            .input((c, c_layout))?
            .output(&mut y, 0)?
            .count(len as u64)
            .size(height * width)?;
        // SAFETY: the parameters match `pointwise.cu`; the public function has compared the shapes.
        unsafe { call.launch_for(len)? };
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        c: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_c = c.track_op().then(|| -> Result<Tensor> {
            let (_, _, height, width) = x.dims4()?;
            let grad = grad.contiguous()?;
            let sums = sums(Reading::of(&grad).operand()?, c.elem_count(), height * width)?;
            Ok(tensor(sums, c.shape()))
        });
        Ok((x.track_op().then(|| grad.clone()), grad_c.transpose()?))
    }
}
