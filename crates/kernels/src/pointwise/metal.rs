//! Element-wise operations on an Apple GPU.

use candle_core::backend::BackendStorage;
use candle_core::{MetalStorage, Result, Shape, Tensor};

use crate::gpu::metal::{
    Arm, Call, Library, Operand, Reading, Word, apply1, apply2, empty, library, sum_leading,
    sum_rows, tensor,
};

static KERNELS: Library = library!("pointwise", "pointwise/pointwise.metal");

pub(super) fn add_scaled(a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    apply2(a, b, AddScaled { scale })
}

pub(super) fn add_channels(x: &Tensor, c: &Tensor) -> Result<Tensor> {
    apply2(x, c, AddChannels)
}

pub(super) fn silu(x: &Tensor) -> Result<Tensor> {
    apply1(x, Map { name: "silu", through: "through_silu", of_output: false })
}

pub(super) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    apply1(x, Map { name: "sigmoid", through: "through_sigmoid", of_output: true })
}

pub(super) fn softplus(x: &Tensor) -> Result<Tensor> {
    apply1(x, Map { name: "softplus", through: "through_softplus", of_output: false })
}

/// Launches an element-wise kernel, whose constants are the number of elements and `rest`.
fn map(name: &str, operands: &[Operand<'_>], rest: &[Word]) -> Result<MetalStorage> {
    let (storage, layout) = operands[0];
    let (device, dtype, len) = (storage.device(), storage.dtype(), layout.shape().elem_count());
    let y = empty(device, dtype, len)?;
    let mut call = Call::new(device, &KERNELS, name, dtype)?;
    for operand in operands {
        call = call.input(*operand)?;
    }
    call = call.output(&y).constant(&[Word::Size(len)])?;
    for word in rest {
        call = call.constant(&[*word])?;
    }
    call.launch_for(len)?;
    Ok(y)
}

/// A function of one element.
struct Map {
    name: &'static str,
    /// Kernel of the derivative times the gradient.
    through: &'static str,
    /// True if that kernel reads the function's value instead of its argument.
    of_output: bool,
}

impl Arm<1> for Map {
    const NAME: &'static str = "element-wise function";

    fn forward(&self, [x]: [Operand<'_>; 1]) -> Result<(MetalStorage, Shape)> {
        Ok((map(self.name, &[x], &[])?, x.1.shape().clone()))
    }

    fn backward(
        &self,
        [x]: [&Tensor; 1],
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 1]> {
        let argument = Reading::of(if self.of_output { y } else { x });
        let grad = Reading::of(grad);
        let grad_x = map(self.through, &[argument.operand()?, grad.operand()?], &[])?;
        Ok([Some(tensor(grad_x, x.shape()))])
    }
}

/// `(a + b) · scale`.
struct AddScaled {
    scale: f64,
}

impl Arm<2> for AddScaled {
    const NAME: &'static str = "add_scaled";

    fn forward(&self, [a, b]: [Operand<'_>; 2]) -> Result<(MetalStorage, Shape)> {
        let y = map("add_scaled", &[a, b], &[Word::Float(self.scale)])?;
        Ok((y, a.1.shape().clone()))
    }

    fn backward(
        &self,
        operands: [&Tensor; 2],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        let grads = Reading::of(grad);
        let grad_sum = map("scaled", &[grads.operand()?], &[Word::Float(self.scale)])?;
        let grad_sum = tensor(grad_sum, grad.shape());
        Ok(operands.map(|operand| operand.track_op().then(|| grad_sum.clone())))
    }
}

/// `x + c`, with one `c` per channel and sample.
struct AddChannels;

impl Arm<2> for AddChannels {
    const NAME: &'static str = "add_channels";

    fn forward(&self, [x, c]: [Operand<'_>; 2]) -> Result<(MetalStorage, Shape)> {
        let (_, _, height, width) = x.1.shape().dims4()?;
        let y = map("add_channels", &[x, c], &[Word::Size(height * width)])?;
        Ok((y, x.1.shape().clone()))
    }

    fn backward(
        &self,
        [x, c]: [&Tensor; 2],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 2]> {
        let grad_c = c.track_op().then(|| -> Result<Tensor> {
            let (_, _, height, width) = x.dims4()?;
            let channels = c.elem_count();
            let sums = sum_rows(Reading::of(grad).operand()?, channels, height * width)?;
            Ok(tensor(sum_leading(&sums, 1, channels, c.dtype())?, c.shape()))
        });
        Ok([x.track_op().then(|| grad.clone()), grad_c.transpose()?])
    }
}
