//! The forward pass.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, bail};

use super::images::source;
use super::kernel::finish;
use super::shared::SharedVec;
use super::{Added, Images, Norm, Operands, Part};
use crate::conv2d::cpu::{forward, geometry};
use crate::conv2d::geometry::Geometry;
use crate::group_norm::moments::{ChannelMoments, measure};
use crate::group_norm::normal::{Normal, Recipe};
use crate::isa::Isa;
use crate::storage::{Dense, tensor};

/// Result of [`norm_conv`].
pub(crate) struct NormConv {
    /// Output `[B, O, H, W]`.
    pub output: Part,
    /// Statistics of the norm, for the backward pass.
    pub normal: Option<Normal>,
}

/// Computes `(conv(norm(images)) + bias + added) · factor`.
///
/// With `measure`, also computes the moments of the output's channels, for a norm that follows.
///
/// # Errors
///
/// If the shapes do not match.
pub(crate) fn norm_conv(
    isa: Isa,
    operands: &Operands<'_>,
    measure_output: bool,
) -> Result<NormConv> {
    let geometry = check(operands)?;
    let &Operands { images, norm, weight, bias, added } = operands;
    let (channels, pixels) = (geometry.outputs, geometry.pixels());
    let (weight, bias) = (Dense::of(weight)?, Dense::of(bias)?);
    let normal = norm.map(|norm| statistics(isa, images, norm)).transpose()?;
    let moments = measure_output.then(|| SharedVec::new(geometry.batch * channels));
    let record = |sample: usize, channel: usize, of: ChannelMoments| {
        if let Some(moments) = &moments {
            // SAFETY: only one task finishes a sample.
            unsafe { moments.write(sample * channels + channel, &[of]) };
        }
    };
    let y = images.with(|x| {
        let source = source(*x, normal.as_ref());
        Ok(match added {
            Added::Nothing => {
                forward(isa, &source, &weight, Some(&bias), &geometry, &|sample, y| {
                    let rows = y.chunks_exact(pixels).enumerate().filter(|_| measure_output);
                    for (channel, y) in rows {
                        record(sample, channel, measure(isa, y));
                    }
                })
            }
            Added::Channels(added) => {
                let added = Dense::of(added)?;
                forward(isa, &source, &weight, None, &geometry, &|sample, y| {
                    for (channel, y) in y.chunks_exact_mut(pixels).enumerate() {
                        let shift = bias[channel] + added[sample * channels + channel];
                        record(sample, channel, finish(isa, y, None, shift, 1.0));
                    }
                })
            }
            Added::Residual(residual, factor) => {
                let residual = Dense::of(residual)?;
                forward(isa, &source, &weight, None, &geometry, &|sample, y| {
                    let residual = &residual[sample * channels * pixels..][..channels * pixels];
                    let rows = y.chunks_exact_mut(pixels).zip(residual.chunks_exact(pixels));
                    for (channel, (y, residual)) in rows.enumerate() {
                        let of = finish(isa, y, Some(residual), bias[channel], factor as f32);
                        record(sample, channel, of);
                    }
                })
            }
        })
    })?;
    let moments = moments.map(|it| Arc::new(it.into_vec()));
    Ok(NormConv { output: Part { tensor: tensor(y, &output_shape(&geometry))?, moments }, normal })
}

/// Sizes of the convolution, if the operands match each other.
fn check(operands: &Operands<'_>) -> Result<Geometry> {
    let &Operands { images, weight, bias, added, .. } = operands;
    let shape = images.shape()?;
    let geometry = geometry(&shape, weight.shape())?;
    let outputs = geometry.outputs;
    let whole = weight.elem_count() == outputs * geometry.inputs * geometry.taps();
    if !whole || bias.elem_count() != outputs {
        let (weight, bias) = (weight.shape(), bias.shape());
        bail!("norm_conv: weight {weight:?} and bias {bias:?} do not fit images {shape:?}");
    }
    match added {
        Added::Channels(added) if added.dims() != [geometry.batch, outputs] => {
            let expected = [geometry.batch, outputs];
            bail!("norm_conv: added channels {:?} do not fit {expected:?}", added.shape())
        }
        Added::Residual(residual, _) if residual.shape() != &output_shape(&geometry) => {
            let expected = output_shape(&geometry);
            bail!("norm_conv: residual images {:?} do not fit {expected:?}", residual.shape())
        }
        _ => Ok(geometry),
    }
}

fn output_shape(geometry: &Geometry) -> Shape {
    Shape::from((geometry.batch, geometry.outputs, geometry.height, geometry.width))
}

/// Statistics of the images' groups.
fn statistics(isa: Isa, images: &Images, norm: Norm<'_>) -> Result<Normal> {
    let Norm { weight, bias, groups, eps, silu } = norm;
    let (batch, channels, height, width) = images.shape()?.dims4()?;
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!("group_norm: {groups} groups do not divide the {channels} channels");
    }
    let mismatch = |it: &&Tensor| it.dims() != [channels] && it.dims() != [batch, channels];
    if let Some(tensor) = [weight, bias].into_iter().find(mismatch) {
        bail!("group_norm: {:?} does not fit {channels} channels", tensor.shape());
    }
    let (weight, bias) = (Dense::of(weight)?, Dense::of(bias)?);
    let recipe = Recipe { isa, weight: &weight, bias: &bias, groups, eps: eps as f32, silu };
    let moments = images.moments(isa)?.into_iter();
    Ok(Normal::new(moments, [batch, channels, height * width], recipe))
}
