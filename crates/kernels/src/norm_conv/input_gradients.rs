//! The gradients with respect to the images and to the parameters of the norm.

use candle_core::{Result, Shape, Tensor};

use super::Backward;
use super::kernel::add_multiple;
use super::shared::SharedVec;
use crate::buffer::as_uninit;
use crate::channels::Channels;
use crate::conv2d::cpu::{geometry, grad_input, grad_input_each};
use crate::group_norm::normal::SampleSums;
use crate::isa::Isa;
use crate::storage::{Dense, tensor};

/// Gradients of [`norm_conv`](super::norm_conv), without the convolution's parameters.
pub(crate) struct InputGradients {
    /// With respect to each tensor of images, one or two.
    pub images: Vec<Tensor>,
    /// With respect to the norm's weight and bias, `[B, C]` each: for every sample.
    pub norm: Option<[Tensor; 2]>,
}

/// Computes the gradients with respect to the images and the norm's parameters, for a convolution
/// with this weight.
///
/// `accumulated` are terms of the gradients with respect to the images that are already known, each
/// with a factor. They are added to the result.
///
/// # Errors
///
/// If the shapes do not match.
pub(crate) fn input_gradients(
    isa: Isa,
    pass: &Backward<'_>,
    weight: &Tensor,
    accumulated: [Option<(Tensor, f64)>; 2],
) -> Result<InputGradients> {
    let &Backward { images, normal, grad, factor } = pass;
    let geometry = geometry(&images.shape()?, weight.shape())?;
    let (batch, channels, pixels) = (geometry.batch, geometry.inputs, geometry.pixels());
    let scaled = (factor != 1.0).then(|| weight * factor).transpose()?;
    let (weight, grad) = (Dense::of(scaled.as_ref().unwrap_or(weight))?, Dense::of(grad)?);
    let accumulated = [dense(accumulated[0].as_ref())?, dense(accumulated[1].as_ref())?];
    let sums = SampleSums::new(batch, channels);
    let gradients = images.with(|x| {
        let backward = |sample: usize, grad: &mut [f32]| {
            let accumulated = |channel: usize| {
                let (elements, factor) = accumulated[x.locate(channel).0].as_ref()?;
                Some((&elements[x.range(sample, channel)], *factor))
            };
            match normal {
                Some(normal) => normal.back(x, sample, None, as_uninit(grad), &sums, accumulated),
                None => {
                    for (channel, grad) in grad.chunks_exact_mut(pixels).enumerate() {
                        if let Some((term, factor)) = accumulated(channel) {
                            add_multiple(isa, grad, term, factor);
                        }
                    }
                }
            }
        };
        Ok(match x.as_one() {
            Some(_) => vec![grad_input(isa, &grad, &weight, &geometry, &backward)],
            None => {
                let parts = x.lens().map(SharedVec::new);
                grad_input_each(isa, &grad, &weight, &geometry, &|sample, grad| {
                    backward(sample, grad);
                    // SAFETY: only one task finishes a sample.
                    unsafe { split(x, sample, grad, &parts) };
                });
                parts.map(SharedVec::into_vec).into()
            }
        })
    })?;
    let images =
        images.parts().iter().zip(gradients).map(|(part, grad)| tensor(grad, part.tensor.shape()));
    let norm = normal.map(|_| -> Result<[Tensor; 2]> {
        let shape = Shape::from((batch, channels));
        let [bias, weight] = sums.into_parts();
        Ok([tensor(weight, &shape)?, tensor(bias, &shape)?])
    });
    Ok(InputGradients { images: images.collect::<Result<_>>()?, norm: norm.transpose()? })
}

/// Elements of a term, and its factor.
fn dense(term: Option<&(Tensor, f64)>) -> Result<Option<(Dense<'_>, f32)>> {
    term.map(|(tensor, factor)| Ok((Dense::of(tensor)?, *factor as f32))).transpose()
}

/// Writes the gradient `[C₁ + C₂, P]` of one sample to the parts that hold its channels.
///
/// # Safety
///
/// No other thread writes this sample at the same time.
unsafe fn split(x: &Channels<'_>, sample: usize, grad: &[f32], parts: &[SharedVec<f32>; 2]) {
    for (channel, grad) in grad.chunks_exact(x.pixels()).enumerate() {
        // SAFETY: passed on to the caller.
        unsafe { parts[x.locate(channel).0].write(x.range(sample, channel).start, grad) };
    }
}
