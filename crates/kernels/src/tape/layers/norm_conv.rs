//! The main layer of these networks: group norm, convolution and sum. On a tape it is one step,
//! [`crate::norm_conv`]; elsewhere it is a sequence of operations.

use candle_core::{Result, Tensor};

use super::norm::{Normalize, Recorded, normalize};
use crate::conv2d::cpu::Conv2d;
use crate::isa::Isa;
use crate::norm_conv::{self as kernel, Added, Backward, Images, NormConv, Operands};
use crate::pointwise::cpu::AddChannels;
use crate::tape::{Node, Scaled, Tape, Value};

/// Term added to the convolution's output.
#[derive(Clone, Copy)]
pub enum Plus<'a> {
    /// No addition.
    Nothing,
    /// `[B, C]`, added to every pixel.
    Channels(&'a Value),
    /// Images of the output's shape. The sum is multiplied by the factor.
    Residual(&'a Value, f64),
}

impl Plus<'_> {
    fn node(&self) -> Option<Node> {
        match self {
            Self::Nothing => None,
            Self::Channels(value) | Self::Residual(value, _) => value.node(),
        }
    }

    fn factor(&self) -> f64 {
        match self {
            Self::Nothing | Self::Channels(_) => 1.0,
            Self::Residual(_, factor) => *factor,
        }
    }
}

/// `(conv(norm(x)) + bias + plus) · factor`, where `x` is one value, or two joined along the
/// channels.
///
/// # Errors
///
/// If the shapes do not match, or `x` has neither one nor two values.
pub fn norm_conv(
    x: &[&Value],
    norm: Option<Normalize<'_>>,
    [weight, bias]: [&Tensor; 2],
    plus: Plus<'_>,
) -> Result<Value> {
    match (x[0].tape(), x) {
        (Some(tape), &[x]) => {
            let images = Images::One([x.part()]);
            record(tape, images, [x.node(), None], norm, [weight, bias], plus)
        }
        (Some(tape), &[a, b]) => {
            let images = Images::Joined([a, b].map(Value::part));
            record(tape, images, [a.node(), b.node()], norm, [weight, bias], plus)
        }
        _ => composed(x, norm, [weight, bias], plus),
    }
}

/// The same as a sequence of operations.
fn composed(
    x: &[&Value],
    norm: Option<Normalize<'_>>,
    [weight, bias]: [&Tensor; 2],
    plus: Plus<'_>,
) -> Result<Value> {
    let x = super::join(x)?;
    let x = match norm {
        None => x,
        Some(norm) => normalize(&x, norm)?,
    };
    let y = super::conv2d(&x, weight, Some(bias))?;
    match plus {
        Plus::Nothing => Ok(y),
        Plus::Channels(channels) => super::add_channels(&y, channels),
        Plus::Residual(residual, factor) => super::add_scaled(&y, residual, factor),
    }
}

fn record(
    tape: &Tape,
    images: Images,
    image_nodes: [Option<Node>; 2],
    norm: Option<Normalize<'_>>,
    [weight, bias]: [&Tensor; 2],
    plus: Plus<'_>,
) -> Result<Value> {
    let recorded = norm.map(|norm| Recorded::new(tape, &norm)).transpose()?;
    let (grad_weight, grad_bias) = (tape.param(weight), tape.param(bias));
    let (weight, bias) = (weight.detach().contiguous()?, bias.detach().contiguous()?);
    let applied = norm.zip(recorded.as_ref()).map(|(norm, recorded)| kernel::Norm {
        weight: &recorded.weight,
        bias: &recorded.bias,
        groups: norm.params.groups,
        eps: norm.params.eps,
        silu: norm.silu,
    });
    let added = match plus {
        Plus::Nothing => Added::Nothing,
        Plus::Channels(value) => Added::Channels(value.tensor()),
        Plus::Residual(value, factor) => Added::Residual(value.tensor(), factor),
    };
    // In these networks, the output of such a layer is normalized next. Exceptions are queries,
    // keys and values, and the shortcut around a block.
    let measure = norm.is_some_and(|it| it.silu) || !matches!(plus, Plus::Nothing);
    let operands = Operands { images: &images, norm: applied, weight: &weight, bias: &bias, added };
    let NormConv { output, normal } = kernel::norm_conv(Isa::detect(), &operands, measure)?;
    let norm_nodes = recorded.as_ref().map_or([None; 3], |it| it.nodes);
    let of_channels = matches!(plus, Plus::Channels(_));
    let (plus_node, factor) = (plus.node(), plus.factor());
    let through = image_nodes.into_iter().chain(norm_nodes).any(|it| it.is_some());
    let [n0, n1, n2] = norm_nodes;
    let nodes = [image_nodes[0], image_nodes[1], grad_weight, grad_bias, plus_node, n0, n1, n2];
    let y = tape.record_scaled(output.tensor, nodes, || {
        Box::new(move |Scaled(grad, outer), grads| {
            let factor = factor * outer;
            let pass = Backward { images: &images, normal: normal.as_ref(), grad: &grad, factor };
            if of_channels {
                grads.give(plus_node, || {
                    AddChannels { isa: Isa::detect() }.grad_channels(&grad)? * factor
                })?;
            } else {
                grads.put(plus_node, Scaled(grad.clone(), factor));
            }
            grads.give(grad_bias, || Conv2d { isa: Isa::detect() }.grad_bias(&grad)? * factor)?;
            grads.give(grad_weight, || {
                kernel::weight_gradient(Isa::detect(), &pass, weight.shape())
            })?;
            if !through {
                return Ok(());
            }
            let mut more = [None, None];
            for (more, node) in more.iter_mut().zip(image_nodes) {
                let so_far = node.map(|node| grads.take(node)).transpose()?.flatten();
                *more = so_far.map(|Scaled(tensor, factor)| (tensor, factor));
            }
            let gradients = kernel::input_gradients(Isa::detect(), &pass, &weight, more)?;
            for (node, gradient) in image_nodes.into_iter().zip(gradients.images) {
                grads.put(node, Scaled(gradient, 1.0));
            }
            match (&recorded, &gradients.norm) {
                (Some(recorded), Some(grad_params)) => recorded.back(grad_params, grads),
                _ => Ok(()),
            }
        })
    });
    Ok(Value { moments: output.moments, ..y })
}
