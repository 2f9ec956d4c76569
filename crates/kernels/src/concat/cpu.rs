//! Concatenation of channels on the CPU: two copies per sample.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::buffer::Output;
use crate::storage::{dense, tensor, with_dense};

/// Concatenates two batches along the channels.
pub(crate) struct Concat;

impl CustomOp2 for Concat {
    fn name(&self) -> &'static str {
        "concat_channels"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, a_channels, height, width) = a_layout.shape().dims4()?;
        let channels = a_channels + b_layout.shape().dims4()?.1;
        let (a, b) = (dense(a, a_layout)?, dense(b, b_layout)?);
        let (a_len, len) = (a_channels * height * width, channels * height * width);
        let mut output = Output::new(batch * len);
        output.par_chunks(len).enumerate().for_each(|(sample, y)| {
            let (left, right) = y.split_at_mut(a_len);
            left.write_copy_of_slice(&a[sample * a_len..][..a_len]);
            right.write_copy_of_slice(&b[sample * (len - a_len)..][..len - a_len]);
        });
        // SAFETY: both parts of every sample have been written.
        let y = unsafe { output.assume_written() };
        Ok((CpuStorage::F32(y), Shape::from((batch, channels, height, width))))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let channels = a.dim(1)?;
        let grad_a = a.track_op().then(|| part(grad, 0, a.shape())).transpose()?;
        let grad_b = b.track_op().then(|| part(grad, channels, b.shape())).transpose()?;
        Ok((grad_a, grad_b))
    }
}

/// The gradient with respect to an operand of this shape, whose channels begin at `first` in
/// `grad`.
pub(crate) fn part(grad: &Tensor, first: usize, operand: &Shape) -> Result<Tensor> {
    let len: usize = grad.dims()[1..].iter().product();
    let part: usize = operand.dims()[1..].iter().product();
    let start = first * (len / grad.dim(1)?);
    with_dense(grad, |grad| {
        let mut output = Output::new(operand.elem_count());
        output.par_chunks(part).enumerate().for_each(|(sample, y)| {
            y.write_copy_of_slice(&grad[sample * len + start..][..part]);
        });
        // SAFETY: every sample has been written.
        tensor(unsafe { output.assume_written() }, operand)
    })
}
