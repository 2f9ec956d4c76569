//! A normalization with known statistics: one affine map per channel and sample.
//!
//! The next operation applies the map while it reads the images, so the normalized images are not
//! stored. In the backward pass, the gradient passes through the map while it is in the cache.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::kernel::{Affine, Moments, apply_rows, through_activation, through_norm};
use super::moments::{ChannelMoments, measure};
use crate::buffer::SharedSlice;
use crate::channels::Channels;
use crate::isa::Isa;

/// `y = activation(scale · x + shift)` by channel and sample.
pub(crate) struct Normal {
    isa: Isa,
    /// Statistics of every group of every sample.
    moments: Vec<Moments>,
    /// By channel and sample: `weight / √(var + eps)`, and `bias − mean · scale`.
    affine: Vec<Affine>,
    channels: usize,
    groups: usize,
    silu: bool,
}

/// Parameters of a normalization.
#[derive(Clone, Copy)]
pub(crate) struct Recipe<'a> {
    pub isa: Isa,
    /// `[C]`, or `[B, C]` with one weight per sample. `bias` has the same shape.
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub groups: usize,
    pub eps: f32,
    pub silu: bool,
}

/// The moments of every channel of every sample, `[B, C]`.
pub(crate) fn measure_all(isa: Isa, x: &Channels<'_>) -> Vec<ChannelMoments> {
    (0..x.batch() * x.count())
        .into_par_iter()
        .with_min_len(4096usize.div_ceil(x.pixels()))
        .map(|index| measure(isa, x.channel(index / x.count(), index % x.count())))
        .collect()
}

impl Normal {
    /// Computes the statistics from the moments of the channels, in order of samples. For a group
    /// of `n` channels with means `m_c` and sums `s_c` of squared distances,
    ///
    /// ```text
    /// mean = Σ m_c / n,   var = (Σ s_c / P + Σ (m_c − mean)²) / n
    /// ```
    pub(crate) fn new(
        channel_moments: impl Iterator<Item = ChannelMoments>,
        [batch, channels, pixels]: [usize; 3],
        recipe: Recipe<'_>,
    ) -> Self {
        let Recipe { isa, weight, bias, groups, eps, silu } = recipe;
        let group = channels / groups;
        let measured: Vec<ChannelMoments> = channel_moments.collect();
        let moments: Vec<Moments> = measured
            .chunks_exact(group)
            .map(|channels| {
                let mean = channels.iter().map(|it| it.mean).sum::<f32>() / group as f32;
                let within = channels.iter().map(|it| it.squares).sum::<f32>() / pixels as f32;
                let between: f32 = channels.iter().map(|it| (it.mean - mean).powi(2)).sum();
                let variance = (within + between) / group as f32;
                Moments { mean, inverse_deviation: 1.0 / (variance + eps).sqrt() }
            })
            .collect();
        // One weight per sample, or one for all.
        let per_sample = weight.len() != channels || batch == 1;
        let affine = (0..batch * channels).map(|index| {
            let channel = index % channels;
            let at = if per_sample { index } else { channel };
            let moments = moments[index / channels * groups + channel / group];
            let scale = weight[at] * moments.inverse_deviation;
            Affine { scale, shift: bias[at] - moments.mean * scale }
        });
        Self { isa, affine: affine.collect(), moments, channels, groups, silu }
    }

    /// Writes rows of `width` normalized pixels at distances of `pitch` in `y`.
    pub(crate) fn apply(
        &self,
        sample: usize,
        channel: usize,
        x: &[f32],
        y: &mut [MaybeUninit<f32>],
        [width, pitch]: [usize; 2],
    ) {
        let affine = self.affine[sample * self.channels + channel];
        apply_rows(self.isa, x, y, width, pitch, affine, self.silu);
    }

    /// Back-propagates the gradient `[C, P]` of one sample, which is `grad` or else the content of
    /// `target`, and writes the result to `target`. With `x̂ = (x − mean) / √(var + eps)` and `d`
    /// the gradient with respect to `weight · x̂ + bias`:
    ///
    /// ```text
    /// ∂bias_c = Σ d,   ∂weight_c = Σ d x̂,
    /// ∂x = (weight d − mean(weight d) − x̂ · mean(weight d x̂)) / √(var + eps)
    /// ```
    ///
    /// with sums over a channel's pixels and means over the group. `sums` receives the first two.
    /// `more(c)` is a term that is added to the gradient with respect to channel `c`, and its
    /// factor.
    pub(crate) fn back<'a>(
        &self,
        x: &Channels<'_>,
        sample: usize,
        grad: Option<&[f32]>,
        target: &mut [MaybeUninit<f32>],
        sums: &SampleSums,
        more: impl Fn(usize) -> Option<(&'a [f32], f32)>,
    ) {
        let (group, pixels) = (self.channels / self.groups, x.pixels());
        for (index, target) in target.chunks_exact_mut(group * pixels).enumerate() {
            let moments = self.moments[sample * self.groups + index];
            let inverse = moments.inverse_deviation;
            let (mut sum, mut sum_normal) = (0f32, 0f32);
            let first = index * group;
            for (channel, d) in (first..).zip(target.chunks_exact_mut(pixels)) {
                let affine = self.affine[sample * self.channels + channel];
                let x = x.channel(sample, channel);
                let grad = grad.map(|grad| &grad[channel * pixels..][..pixels]);
                let [d, d_normal] =
                    through_activation(self.isa, x, grad, d, moments, affine, self.silu);
                sums.put(sample * self.channels + channel, d, d_normal);
                // The weight is the scale without the deviation.
                sum += d * affine.scale;
                sum_normal += d_normal * affine.scale;
            }
            let len = (group * pixels) as f32;
            let of_x = -inverse * sum_normal / len;
            let constant = -moments.mean * of_x - sum / len;
            for (channel, d) in (first..).zip(target.chunks_exact_mut(pixels)) {
                // SAFETY: the loop above has written it.
                let d = unsafe { d.assume_init_mut() };
                let scale = self.affine[sample * self.channels + channel].scale;
                let x = x.channel(sample, channel);
                through_norm(self.isa, x, d, [scale, of_x, constant], more(channel));
            }
        }
    }
}

/// Sums over pixels, `[B, C]`, which tasks of different samples write in parallel.
pub(crate) struct SampleSums {
    bias: Vec<f32>,
    weight: Vec<f32>,
    shared: [SharedSlice<f32>; 2],
}

impl SampleSums {
    /// Sums for these numbers of samples and channels.
    pub(crate) fn new(batch: usize, channels: usize) -> Self {
        let (mut bias, mut weight) = (vec![0f32; batch * channels], vec![0f32; batch * channels]);
        let shared = [&mut bias, &mut weight].map(|it| SharedSlice::new(it));
        Self { bias, weight, shared }
    }

    fn put(&self, at: usize, bias: f32, weight: f32) {
        let [of_bias, of_weight] = &self.shared;
        // SAFETY: each sample has one task, and nothing else accesses the vectors while `self` is
        // borrowed.
        unsafe {
            of_bias.write(at, bias);
            of_weight.write(at, weight);
        }
    }

    /// The sums `Σ d` and `Σ d x̂`.
    pub(crate) fn into_parts(self) -> [Vec<f32>; 2] {
        [self.bias, self.weight]
    }
}
