//! Group normalization on an Apple GPU, one threadgroup per group.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{DType, MetalStorage, Result, Shape, Tensor, bail};

use crate::gpu::metal::{
    Arm, Call, Library, Operand, Reading, SIMD, SUM_FLOATS, THREADS, Word, apply3, empty, library,
    sum_leading, tensor,
};

static KERNELS: Library = library!("group_norm", "group_norm/group_norm.metal");

/// Weight and bias are `[C]`, or `[B, C]` with one pair per sample.
pub(super) fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    apply3(x, weight, bias, GroupNorm { groups, eps, silu, moments: Mutex::default() })
}

struct GroupNorm {
    groups: usize,
    eps: f64,
    silu: bool,
    /// Moments of every group, `[B · groups, 2]`, set by the forward pass for the backward pass.
    moments: Mutex<Option<MetalStorage>>,
}

/// Sizes of one call.
struct Sizes {
    batch: usize,
    channels: usize,
    /// Elements per group.
    length: usize,
    constant: [Word; 6],
}

impl GroupNorm {
    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<Sizes> {
        let (batch, channels, height, width) = x.dims4()?;
        let pixels = height * width;
        let constant = [
            Word::Size(channels),
            Word::Size(pixels),
            Word::Size(self.groups),
            Word::Flag(weight.rank() == 2),
            Word::Flag(self.silu),
            Word::Float(self.eps),
        ];
        Ok(Sizes { batch, channels, length: channels / self.groups * pixels, constant })
    }

    /// The gradient with respect to `x`, and those with respect to weight and bias per sample and
    /// channel, in f32.
    fn gradients(&self, [x, weight, bias, grad]: [Operand<'_>; 4]) -> Result<[MetalStorage; 3]> {
        let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(moments) = &*moments else {
            bail!("group_norm: backward pass without forward pass")
        };
        let (device, dtype) = (x.0.device(), x.0.dtype());
        let sizes = self.sizes(x.1.shape(), weight.1.shape())?;
        let grad_x = empty(device, dtype, x.1.shape().elem_count())?;
        let grad_weight = empty(device, DType::F32, sizes.batch * sizes.channels)?;
        let grad_bias = empty(device, DType::F32, sizes.batch * sizes.channels)?;
        Call::new(device, &KERNELS, "through_group_norm", dtype)?
            .input(x)?
            .input(weight)?
            .input(bias)?
            .input(grad)?
            .scratch(moments)
            .output(&grad_x)
            .output(&grad_weight)
            .output(&grad_bias)
            .constant(&sizes.constant)?
            .shared(SUM_FLOATS)
            .launch([sizes.batch * self.groups, 1, 1], threads(sizes.length))?;
        Ok([grad_x, grad_weight, grad_bias])
    }
}

/// Threads in whole SIMD-groups, no more than there are elements.
fn threads(length: usize) -> usize {
    length.next_multiple_of(SIMD).clamp(SIMD, THREADS)
}

impl Arm<3> for GroupNorm {
    const NAME: &'static str = "group_norm";

    fn forward(&self, [x, weight, bias]: [Operand<'_>; 3]) -> Result<(MetalStorage, Shape)> {
        let (device, dtype) = (x.0.device(), x.0.dtype());
        let sizes = self.sizes(x.1.shape(), weight.1.shape())?;
        let groups = sizes.batch * self.groups;
        let y = empty(device, dtype, x.1.shape().elem_count())?;
        let moments = empty(device, DType::F32, 2 * groups)?;
        Call::new(device, &KERNELS, "group_norm", dtype)?
            .input(x)?
            .input(weight)?
            .input(bias)?
            .output(&y)
            .output(&moments)
            .constant(&sizes.constant)?
            .shared(SUM_FLOATS)
            .launch([groups, 1, 1], threads(sizes.length))?;
        *self.moments.lock().unwrap_or_else(PoisonError::into_inner) = Some(moments);
        Ok((y, x.1.shape().clone()))
    }

    fn backward(
        &self,
        [x, weight, bias]: [&Tensor; 3],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let readings = [x, weight, bias, grad].map(Reading::of);
        let [a, b, c, d] = &readings;
        let operands = [a.operand()?, b.operand()?, c.operand()?, d.operand()?];
        let [grad_x, grad_weight, grad_bias] = self.gradients(operands)?;
        // One weight for all samples, or one per sample.
        let terms = if weight.rank() == 2 { 1 } else { x.dim(0)? };
        let of = |rows: &MetalStorage, operand: &Tensor| {
            let sums = || sum_leading(rows, terms, operand.elem_count(), operand.dtype());
            let sums = operand.track_op().then(sums).transpose()?;
            Ok::<_, candle_core::Error>(sums.map(|it| tensor(it, operand.shape())))
        };
        let grad_x = x.track_op().then(|| tensor(grad_x, x.shape()));
        Ok([grad_x, of(&grad_weight, weight)?, of(&grad_bias, bias)?])
    }
}
