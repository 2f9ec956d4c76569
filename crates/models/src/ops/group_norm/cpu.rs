//! Group normalisation on the CPU, in NCHW: the pixels of a group are contiguous and stay in the
//! first or second cache while they are gone over.

use std::mem::MaybeUninit;
use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::kernel::{Affine, Moments, apply, moments, through_activation, through_norm};
use crate::ops::buffer::Output;
use crate::ops::isa::Isa;
use crate::ops::reduce;
use crate::ops::storage::{dense, tensor, with_dense};

/// `activation(weight · (x − mean) / √(var + eps) + bias)`, where weight and bias are `[C]`, or
/// `[B, C]` with one pair for each sample.
pub(crate) struct GroupNorm {
    isa: Isa,
    groups: usize,
    eps: f64,
    silu: bool,
    /// Moments of every group, left by the forward pass for the backward pass.
    moments: Mutex<Vec<Moments>>,
}

/// The sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    channels: usize,
    pixels: usize,
    /// Channels of a group.
    group: usize,
    groups: usize,
    /// Whether every sample has a weight of its own.
    per_sample: bool,
}

impl Sizes {
    /// Numbers of a group.
    fn len(&self) -> usize {
        self.group * self.pixels
    }

    /// Where the weights of group number `index` of the batch begin.
    fn weights_of(&self, index: usize) -> usize {
        let group = if self.per_sample { index } else { index % self.groups };
        group * self.group
    }
}

impl GroupNorm {
    /// With silu after it if so wanted.
    pub(in crate::ops) fn new(isa: Isa, groups: usize, eps: f64, silu: bool) -> Self {
        Self { isa, groups, eps, silu, moments: Mutex::default() }
    }

    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<Sizes> {
        let (_, channels, height, width) = x.dims4()?;
        Ok(Sizes {
            channels,
            pixels: height * width,
            group: channels / self.groups,
            groups: self.groups,
            per_sample: weight.rank() == 2,
        })
    }

    fn saved(&self) -> std::sync::MutexGuard<'_, Vec<Moments>> {
        // A panic elsewhere while it was held cannot have left half a vector.
        self.moments.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], sizes: Sizes) -> Vec<f32> {
        let mut output = Output::new(x.len());
        let groups: Vec<Moments> = output
            .par_chunks(sizes.len())
            .zip(x.par_chunks(sizes.len()))
            .enumerate()
            .map(|(index, (y, x))| {
                let moments = moments(self.isa, x, self.eps as f32);
                let first = sizes.weights_of(index);
                let channels = x.chunks_exact(sizes.pixels).zip(y.chunks_exact_mut(sizes.pixels));
                for (channel, (x, y)) in channels.enumerate() {
                    let (weight, bias) = (weight[first + channel], bias[first + channel]);
                    let scale = weight * moments.inverse_deviation;
                    let shift = bias - moments.mean * scale;
                    apply(self.isa, x, y, Affine { scale, shift }, self.silu);
                }
                moments
            })
            .collect();
        *self.saved() = groups;
        // SAFETY: the channels of the groups cover the output.
        unsafe { output.assume_written() }
    }

    /// The gradients by `x`, weight and bias.
    pub(crate) fn gradients(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        grad: &Tensor,
    ) -> Result<[Tensor; 3]> {
        let sizes = self.sizes(x.shape(), weight.shape())?;
        let (by_x, by_bias, by_weight) = with_dense(x, |x| {
            with_dense(weight, |weight| {
                with_dense(bias, |bias| {
                    with_dense(grad, |grad| Ok(self.backward([x, weight, bias, grad], sizes)))
                })
            })
        })?;
        let of = |per_sample: Vec<f32>| match sizes.per_sample {
            true => tensor(per_sample, weight.shape()),
            false => {
                let sums = reduce::over_batch(&per_sample, x.dim(0)?, sizes.channels);
                tensor(sums, weight.shape())
            }
        };
        Ok([tensor(by_x, x.shape())?, of(by_weight)?, of(by_bias)?])
    }

    /// The gradient by `x`, and per sample and channel those by bias and weight.
    fn backward(
        &self,
        [x, weight, bias, grad]: [&[f32]; 4],
        sizes: Sizes,
    ) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let saved = self.saved();
        let mut by_x = Output::new(x.len());
        let channels = x.len() / sizes.pixels;
        let (mut by_bias, mut by_weight) = (vec![0f32; channels], vec![0f32; channels]);
        by_x.par_chunks(sizes.len())
            .zip(x.par_chunks(sizes.len()).zip(grad.par_chunks(sizes.len())))
            .zip(by_bias.par_chunks_mut(sizes.group).zip(by_weight.par_chunks_mut(sizes.group)))
            .zip(saved.par_iter())
            .enumerate()
            .for_each(|(index, (((by_x, (x, grad)), (by_bias, by_weight)), moments))| {
                let weights = &weight[sizes.weights_of(index)..][..sizes.group];
                let biases = &bias[sizes.weights_of(index)..][..sizes.group];
                self.backward_group(
                    [x, grad, weights, biases],
                    *moments,
                    sizes,
                    by_x,
                    [by_bias, by_weight],
                );
            });
        // SAFETY: the groups cover the gradient.
        (unsafe { by_x.assume_written() }, by_bias, by_weight)
    }

    /// With `x̂ = (x − mean) / √(var + eps)` and `d` the gradient by `weight · x̂ + bias`:
    ///
    /// ```text
    /// ∂bias_c = Σ d,   ∂weight_c = Σ d x̂,
    /// ∂x = (weight d − mean(weight d) − x̂ · mean(weight d x̂)) / √(var + eps)
    /// ```
    ///
    /// with sums over a channel's pixels and means over the group.
    fn backward_group(
        &self,
        [x, grad, weights, biases]: [&[f32]; 4],
        moments: Moments,
        sizes: Sizes,
        by_x: &mut [MaybeUninit<f32>],
        [by_bias, by_weight]: [&mut [f32]; 2],
    ) {
        let (mut sum, mut sum_normal) = (0f32, 0f32);
        for channel in 0..sizes.group {
            let range = channel * sizes.pixels..(channel + 1) * sizes.pixels;
            let (weight, bias) = (weights[channel], biases[channel]);
            let affine = Affine { scale: weight, shift: bias };
            let [d, d_normal] = through_activation(
                self.isa,
                &x[range.clone()],
                &grad[range.clone()],
                &mut by_x[range],
                moments,
                affine,
                self.silu,
            );
            (by_bias[channel], by_weight[channel]) = (d, d_normal);
            sum += d * weight;
            sum_normal += d_normal * weight;
        }
        let len = sizes.len() as f32;
        let (mean, mean_normal) = (sum / len, sum_normal / len);
        let inverse = moments.inverse_deviation;
        let of_x = -inverse * inverse * mean_normal;
        let constant = -moments.mean * of_x - inverse * mean;
        for (channel, weight) in weights.iter().enumerate() {
            let range = channel * sizes.pixels..(channel + 1) * sizes.pixels;
            let factors = [inverse * weight, of_x, constant];
            through_norm(self.isa, &x[range.clone()], &mut by_x[range], factors);
        }
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
        let sizes = self.sizes(x_layout.shape(), weight_layout.shape())?;
        let (weight, bias) = (dense(weight, weight_layout)?, dense(bias, bias_layout)?);
        let y = self.forward(dense(x, x_layout)?, weight, bias, sizes);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [by_x, by_weight, by_bias] = self.gradients(x, weight, bias, grad)?;
        let of = |operand: &Tensor, gradient| operand.track_op().then_some(gradient);
        Ok((of(x, by_x), of(weight, by_weight), of(bias, by_bias)))
    }
}
