//! Group normalization on the CPU, in NCHW. The pixels of a group are contiguous and stay in the
//! first or second cache between the passes over them.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::normal::{Normal, Recipe, SampleSums, measure_all};
use crate::buffer::Output;
use crate::channels::Channels;
use crate::isa::Isa;
use crate::storage::{dense, tensor, with_dense};

/// `activation(weight · (x − mean) / √(var + eps) + bias)`, where weight and bias are `[C]`, or
/// `[B, C]` with one pair per sample.
pub(crate) struct GroupNorm {
    isa: Isa,
    groups: usize,
    eps: f64,
    silu: bool,
    /// Set by the forward pass for the backward pass.
    normal: Mutex<Option<Normal>>,
}

impl GroupNorm {
    pub(crate) fn new(isa: Isa, groups: usize, eps: f64, silu: bool) -> Self {
        Self { isa, groups, eps, silu, normal: Mutex::default() }
    }

    /// The gradients with respect to `x`, and to the weight and bias of each sample and channel,
    /// `[B, C]`.
    pub(crate) fn gradients(&self, x: &Tensor, grad: &Tensor) -> Result<[Tensor; 3]> {
        let (batch, channels, height, width) = x.dims4()?;
        let sums = SampleSums::new(batch, channels);
        // A panic while the lock was held cannot have left an incomplete value.
        let normal = self.normal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(normal) = &*normal else {
            bail!("group_norm: backward pass without forward pass")
        };
        let image = channels * height * width;
        let grad_x = with_dense(x, |x| {
            with_dense(grad, |grad| {
                let x = Channels::new(x, channels, height * width);
                let mut grad_x = Output::new(grad.len());
                let samples = grad_x.par_chunks(image).zip(grad.par_chunks(image)).enumerate();
                samples.for_each(|(sample, (grad_x, grad))| {
                    normal.back(&x, sample, Some(grad), grad_x, &sums, |_| None);
                });
                // SAFETY: the samples cover the gradient.
                Ok(unsafe { grad_x.assume_written() })
            })
        })?;
        let of = |sums: Vec<f32>| tensor(sums, &Shape::from((batch, channels)));
        let [grad_bias, grad_weight] = sums.into_parts();
        Ok([tensor(grad_x, x.shape())?, of(grad_weight)?, of(grad_bias)?])
    }
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, channels, height, width) = x_layout.shape().dims4()?;
        let pixels = height * width;
        let x = Channels::new(dense(x, x_layout)?, channels, pixels);
        let (weight, bias) = (dense(weight, weight_layout)?, dense(bias, bias_layout)?);
        let &Self { isa, groups, silu, .. } = self;
        let recipe = Recipe { isa, weight, bias, groups, eps: self.eps as f32, silu };
        let sizes = [x.batch(), channels, pixels];
        let normal = Normal::new(measure_all(isa, &x).into_iter(), sizes, recipe);
        let mut output = Output::new(x.batch() * channels * pixels);
        output.par_chunks(pixels).with_min_len(4096usize.div_ceil(pixels)).enumerate().for_each(
            |(index, y)| {
                let (sample, channel) = (index / channels, index % channels);
                normal.apply(sample, channel, x.channel(sample, channel), y, [pixels; 2]);
            },
        );
        *self.normal.lock().unwrap_or_else(PoisonError::into_inner) = Some(normal);
        // SAFETY: the channels cover the output.
        Ok((CpuStorage::F32(unsafe { output.assume_written() }), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [grad_x, grad_weight, grad_bias] = self.gradients(x, grad)?;
        let of = |operand: &Tensor, grads: Tensor| {
            let gradient = || if operand.rank() == 1 { grads.sum(0) } else { Ok(grads) };
            operand.track_op().then(gradient).transpose()
        };
        Ok((x.track_op().then_some(grad_x), of(weight, grad_weight)?, of(bias, grad_bias)?))
    }
}
