//! The operations of this crate on [`Value`]s.
//!
//! Each layer runs the public operation. On a tape, it also records a step of the backward pass,
//! which uses the kernel's own gradients. Tensors captured by a step stay in memory until the step
//! has run. Shapes and errors are those that the named operation documents.

pub(super) mod norm;
pub(super) mod norm_conv;

use candle_core::{Result, Tensor, bail};

use super::{Gradients, Scaled, Value};
use crate::attention::cpu::Attention;
use crate::concat::cpu::part;
use crate::conv2d::cpu::Conv2d;
use crate::dropout::cpu::Dropout;
use crate::dropout::masks;
use crate::isa::Isa;
use crate::pointwise::cpu::{self, AddChannels, Silu};
use crate::resample::cpu::Resample;
use crate::resample::{downsampling2, downsampling2_valid, upsampling2};
use crate::shape::{pad_pixels, per_sample};
use crate::{DropoutKey, Filter};

pub use norm::normalize;
pub use norm_conv::norm_conv;

/// [`crate::conv2d`].
pub fn conv2d(x: &Value, weight: &Tensor, bias: Option<&Tensor>) -> Result<Value> {
    let (tensor, tape) = match x.tape() {
        None => return crate::conv2d(x.tensor(), weight, bias).map(Value::in_graph),
        Some(tape) => (x.tensor(), tape),
    };
    let bias_values = bias.map(Tensor::detach);
    let y = crate::conv2d(tensor, &weight.detach(), bias_values.as_ref())?;
    let nodes = [x.node(), tape.param(weight), bias.and_then(|bias| tape.param(bias))];
    let [grad_x, grad_weight, grad_bias] = nodes;
    Ok(tape.record(y, nodes, || {
        let saved = grad_weight.map(|_| tensor.clone());
        let (shape, weight) = (tensor.shape().clone(), weight.detach());
        move |grad: Tensor, grads: &mut Gradients| {
            let op = Conv2d { isa: Isa::detect() };
            grads.give(grad_x, || op.grad_input(&shape, &weight, &grad))?;
            if let Some(x) = saved {
                grads.give(grad_weight, || op.grad_weight(&x, weight.shape(), &grad))?;
            }
            grads.give(grad_bias, || op.grad_bias(&grad))
        }
    }))
}

/// [`crate::conv2d_padded`].
pub fn conv2d_padded(x: &Value, weight: &Tensor, padding: usize) -> Result<Value> {
    if x.tape().is_none() {
        return crate::conv2d_padded(x.tensor(), weight, padding).map(Value::in_graph);
    }
    let extra = padding.saturating_sub(weight.dim(3)? / 2);
    conv2d(&pad(x, extra)?, weight, None)
}

/// Adds `extra` zeros on every side.
fn pad(x: &Value, extra: usize) -> Result<Value> {
    let padded = pad_pixels(x.tensor(), [extra; 2])?;
    let (_, _, height, width) = x.tensor().dims4()?;
    one(x, padded, move |grad| grad.narrow(2, extra, height)?.narrow(3, extra, width)?.contiguous())
}

/// [`crate::attention`].
pub fn attention(qkv: &Value, heads: usize) -> Result<Value> {
    let Some(tape) = qkv.tape() else {
        return crate::attention(qkv.tensor(), heads).map(Value::in_graph);
    };
    let op = Attention::new(Isa::detect(), heads, qkv.node().is_some());
    let y = qkv.tensor().apply_op1_no_bwd(&op)?;
    let (node, qkv) = (qkv.node(), qkv.tensor().clone());
    Ok(tape.record(y, [node], || {
        move |grad: Tensor, grads: &mut Gradients| grads.give(node, || op.gradient(&qkv, &grad))
    }))
}

/// [`crate::downsample2`].
pub fn downsample2(x: &Value, filter: Filter) -> Result<Value> {
    resample(x, crate::downsample2, downsampling2, filter)
}

/// [`crate::downsample2_valid`].
pub fn downsample2_valid(x: &Value, filter: Filter) -> Result<Value> {
    resample(x, crate::downsample2_valid, downsampling2_valid, filter)
}

/// [`crate::upsample2`].
pub fn upsample2(x: &Value, filter: Filter) -> Result<Value> {
    resample(x, crate::upsample2, upsampling2, filter)
}

fn resample(
    x: &Value,
    run: fn(&Tensor, Filter) -> Result<Tensor>,
    op: fn(&Tensor, Filter) -> Result<Resample>,
    filter: Filter,
) -> Result<Value> {
    let (op, shape) = (op(x.tensor(), filter)?, x.tensor().shape().clone());
    one(x, run(x.tensor(), filter)?, move |grad| op.gradient(&shape, grad))
}

/// [`crate::dropout`].
pub fn dropout(x: &Value, p: f64, key: DropoutKey, layer: u32) -> Result<Value> {
    let Some(tape) = x.tape().filter(|_| p != 0.0) else {
        let y = crate::dropout(x.tensor(), p, key, layer)?;
        return Ok(Value { tensor: y, ..x.clone() });
    };
    let op = Dropout::new(Isa::detect(), p, masks(x.tensor(), p, key, layer)?, key.position);
    let y = x.tensor().apply_op1_no_bwd(&op)?;
    let node = x.node();
    Ok(tape.record(y, [node], || {
        move |grad: Tensor, grads: &mut Gradients| grads.give(node, || op.gradient(&grad))
    }))
}

/// [`crate::add_scaled`].
pub fn add_scaled(a: &Value, b: &Value, scale: f64) -> Result<Value> {
    let y = crate::add_scaled(a.tensor(), b.tensor(), scale)?;
    let Some(tape) = a.tape() else { return Ok(Value::in_graph(y)) };
    let nodes = [a.node(), b.node()];
    Ok(tape.record(y, nodes, || {
        move |grad: Tensor, grads: &mut Gradients| {
            nodes.into_iter().for_each(|node| grads.put(node, Scaled(grad.clone(), scale)));
            Ok(())
        }
    }))
}

/// [`crate::add_channels`].
pub fn add_channels(x: &Value, c: &Value) -> Result<Value> {
    let y = crate::add_channels(x.tensor(), c.tensor())?;
    let Some(tape) = x.tape() else { return Ok(Value::in_graph(y)) };
    let nodes = [x.node(), c.node()];
    Ok(tape.record(y, nodes, || {
        move |grad: Tensor, grads: &mut Gradients| {
            grads.give(nodes[1], || AddChannels { isa: Isa::detect() }.grad_channels(&grad))?;
            grads.give(nodes[0], || Ok(grad))
        }
    }))
}

/// Adds `bias: [C]` to every pixel of `x: [B, C, H, W]`.
pub fn add_bias(x: &Value, bias: &Tensor) -> Result<Value> {
    let sizes = (x.tensor().dim(0)?, x.tensor().dim(1)?);
    let Some(tape) = x.tape() else {
        return crate::add_channels(x.tensor(), &bias.broadcast_as(sizes)?).map(Value::in_graph);
    };
    let y = crate::add_channels(x.tensor(), &bias.detach().broadcast_as(sizes)?)?;
    let nodes = [x.node(), tape.param(bias)];
    Ok(tape.record(y, nodes, || {
        move |grad: Tensor, grads: &mut Gradients| {
            grads.give(nodes[1], || Conv2d { isa: Isa::detect() }.grad_bias(&grad))?;
            grads.give(nodes[0], || Ok(grad))
        }
    }))
}

/// [`crate::concat_channels`].
pub fn concat_channels(a: &Value, b: &Value) -> Result<Value> {
    let y = crate::concat_channels(a.tensor(), b.tensor())?;
    let Some(tape) = a.tape() else { return Ok(Value::in_graph(y)) };
    let nodes = [a.node(), b.node()];
    let [a, b] = [a, b].map(|it| it.tensor().shape().clone());
    Ok(tape.record(y, nodes, || {
        move |grad: Tensor, grads: &mut Gradients| {
            let first = a.dims4()?.1;
            grads.give(nodes[0], || part(&grad, 0, &a))?;
            grads.give(nodes[1], || part(&grad, first, &b))
        }
    }))
}

/// `x: [B, C, H, W]` times one factor per sample, `[B]`.
pub fn scale_samples(x: &Value, factors: &Tensor) -> Result<Value> {
    if x.tape().is_none() {
        return scaled(x.tensor(), factors).map(Value::in_graph);
    }
    let factors = factors.detach();
    let y = mixed((x.tensor(), &factors), None)?;
    one(x, y, move |grad| mixed((grad, &factors), None))
}

/// The sum of two values, each times one factor per sample, `[B]`.
pub fn mix_samples(terms: [(&Value, &Tensor); 2]) -> Result<Value> {
    let [(a, a_factors), (b, b_factors)] = terms;
    let Some(tape) = a.tape() else {
        let sum = scaled(a.tensor(), a_factors)? + scaled(b.tensor(), b_factors)?;
        return sum.map(Value::in_graph);
    };
    let factors = [a_factors.detach(), b_factors.detach()];
    let nodes = [a.node(), b.node()];
    let y = mixed((a.tensor(), &factors[0]), Some((b.tensor(), &factors[1])))?;
    Ok(tape.record(y, nodes, || {
        move |grad: Tensor, grads: &mut Gradients| {
            for (node, factors) in nodes.into_iter().zip(&factors) {
                grads.give(node, || mixed((&grad, factors), None))?;
            }
            Ok(())
        }
    }))
}

/// `x: [B, C, H, W]` times `factors: [B]`, by candle's operations.
fn scaled(x: &Tensor, factors: &Tensor) -> Result<Tensor> {
    x.broadcast_mul(&per_sample(factors, x.rank())?)
}

/// The kernel of [`scale_samples`] and [`mix_samples`].
fn mixed(x: (&Tensor, &Tensor), more: Option<(&Tensor, &Tensor)>) -> Result<Tensor> {
    cpu::mix_samples(Isa::detect(), x, more)
}

/// The first `count` channels.
pub fn first_channels(x: &Value, count: usize) -> Result<Value> {
    let channels = x.tensor().dim(1)?;
    if channels == count {
        return Ok(x.clone());
    }
    let first = x.tensor().narrow(1, 0, count)?.contiguous()?;
    one(x, first, move |grad| grad.pad_with_zeros(1, 0, channels - count))
}

/// One value, or two joined along the channels.
pub fn join(x: &[&Value]) -> Result<Value> {
    match *x {
        [x] => Ok(x.clone()),
        [a, b] => concat_channels(a, b),
        _ => bail!("{} values cannot be joined; pass one or two", x.len()),
    }
}

/// [`crate::linear`].
pub fn linear(x: &Value, weight: &Tensor, bias: Option<&Tensor>) -> Result<Value> {
    let Some(tape) = x.tape() else {
        return crate::linear(x.tensor(), weight, bias).map(Value::in_graph);
    };
    let bias_values = bias.map(Tensor::detach);
    let y = crate::linear(x.tensor(), &weight.detach(), bias_values.as_ref())?;
    let nodes = [x.node(), tape.param(weight), bias.and_then(|bias| tape.param(bias))];
    Ok(tape.record(y, nodes, || {
        let (x, weight) = (x.tensor().clone(), weight.detach());
        move |grad: Tensor, grads: &mut Gradients| {
            grads.give(nodes[0], || grad.matmul(&weight))?;
            grads.give(nodes[1], || grad.t()?.matmul(&x))?;
            grads.give(nodes[2], || grad.sum(0))
        }
    }))
}

/// [`crate::silu`].
pub fn silu(x: &Value) -> Result<Value> {
    let saved = x.tensor().clone();
    one(x, crate::silu(x.tensor())?, move |grad| Silu { isa: Isa::detect() }.gradient(&saved, grad))
}

/// `a + b`, of the same shape.
pub fn add(a: &Value, b: &Value) -> Result<Value> {
    add_scaled(a, b, 1.0)
}

/// Packs two values into one tensor `[N]`: all elements of the first in row-major order, then the
/// elements of the second.
pub fn pack(values: [&Value; 2]) -> Result<Value> {
    let [a, b] = values.map(|it| it.tensor().flatten_all());
    let y = Tensor::cat(&[a?, b?], 0)?;
    let Some(tape) = values[0].tape() else { return Ok(Value::in_graph(y)) };
    let nodes = values.map(Value::node);
    let [a, b] = values.map(|it| it.tensor().shape().clone());
    Ok(tape.record(y, nodes, || {
        move |grad: Tensor, grads: &mut Gradients| {
            let part = |start, shape: &candle_core::Shape| {
                grad.narrow(0, start, shape.elem_count())?.reshape(shape)
            };
            grads.give(nodes[0], || part(0, &a))?;
            grads.give(nodes[1], || part(a.elem_count(), &b))
        }
    }))
}

/// A step with one operand and output `y`.
fn one(
    x: &Value,
    y: Tensor,
    gradient: impl FnOnce(&Tensor) -> Result<Tensor> + Send + 'static,
) -> Result<Value> {
    let Some(tape) = x.tape() else { return Ok(Value::in_graph(y)) };
    let node = x.node();
    Ok(tape.record(y, [node], || {
        move |grad: Tensor, grads: &mut Gradients| grads.give(node, || gradient(&grad))
    }))
}
