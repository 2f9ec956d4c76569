//! Adapter from candle's custom operations to implementations for Apple GPUs.

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, MetalStorage, Result, Shape, Tensor, bail,
};

use super::Operand;

/// An operation of `N` operands, which are contiguous and on the GPU.
pub(crate) trait Arm<const N: usize>: Send + Sync + 'static {
    /// Name of the operation in errors.
    const NAME: &'static str;

    fn forward(&self, operands: [Operand<'_>; N]) -> Result<(MetalStorage, Shape)>;

    /// The gradients with respect to the operands, from the output and its gradient; `None` for a
    /// frozen operand.
    fn backward(
        &self,
        operands: [&Tensor; N],
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; N]>;
}

/// Applies an operation of one operand.
pub(crate) fn apply1<A: Arm<1>>(x: &Tensor, arm: A) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Adapter(arm))
}

/// Applies an operation of two.
pub(crate) fn apply2<A: Arm<2>>(x: &Tensor, y: &Tensor, arm: A) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&y.contiguous()?, Adapter(arm))
}

/// Applies an operation of three.
pub(crate) fn apply3<A: Arm<3>>(x: &Tensor, y: &Tensor, z: &Tensor, arm: A) -> Result<Tensor> {
    x.contiguous()?.apply_op3(&y.contiguous()?, &z.contiguous()?, Adapter(arm))
}

struct Adapter<A>(A);

fn refuse(name: &str) -> Result<(CpuStorage, Shape)> {
    bail!("{name}: the GPU implementation received a tensor on the CPU")
}

impl<A: Arm<1>> CustomOp1 for Adapter<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        refuse(A::NAME)
    }

    fn metal_fwd(&self, x: &MetalStorage, x_layout: &Layout) -> Result<(MetalStorage, Shape)> {
        self.0.forward([(x, x_layout)])
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [grad_x] = self.0.backward([x], y, &grad.contiguous()?)?;
        Ok(grad_x)
    }
}

impl<A: Arm<2>> CustomOp2 for Adapter<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        refuse(A::NAME)
    }

    fn metal_fwd(
        &self,
        x: &MetalStorage,
        x_layout: &Layout,
        y: &MetalStorage,
        y_layout: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.0.forward([(x, x_layout), (y, y_layout)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(self.0.backward([x, y], result, &grad.contiguous()?)?.into())
    }
}

impl<A: Arm<3>> CustomOp3 for Adapter<A> {
    fn name(&self) -> &'static str {
        A::NAME
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
        refuse(A::NAME)
    }

    fn metal_fwd(
        &self,
        x: &MetalStorage,
        x_layout: &Layout,
        y: &MetalStorage,
        y_layout: &Layout,
        z: &MetalStorage,
        z_layout: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.0.forward([(x, x_layout), (y, y_layout), (z, z_layout)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok(self.0.backward([x, y, z], result, &grad.contiguous()?)?.into())
    }
}
