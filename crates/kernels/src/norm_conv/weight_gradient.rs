//! The gradient with respect to the convolution's weight.

use candle_core::{Result, Shape, Tensor};

use super::Backward;
use super::images::source;
use crate::conv2d::cpu::{geometry, grad_weight};
use crate::isa::Isa;
use crate::storage::{Dense, tensor};

/// Computes the gradient with respect to a weight of this shape.
///
/// # Errors
///
/// If the shapes do not match.
pub(crate) fn weight_gradient(isa: Isa, pass: &Backward<'_>, weight: &Shape) -> Result<Tensor> {
    let &Backward { images, normal, grad, factor } = pass;
    let geometry = geometry(&images.shape()?, weight)?;
    let grad = Dense::of(grad)?;
    let mut gradient =
        images.with(|x| Ok(grad_weight(isa, &source(*x, normal), &grad, &geometry)))?;
    if factor != 1.0 {
        gradient.iter_mut().for_each(|it| *it *= factor as f32);
    }
    tensor(gradient, weight)
}
