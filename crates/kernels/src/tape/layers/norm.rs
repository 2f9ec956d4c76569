//! Group norms: their parameters, and the backward pass to them.

use candle_core::{Result, Tensor};

use crate::group_norm::cpu::GroupNorm;
use crate::isa::Isa;
use crate::tape::{Gradients, Node, Tape, Value};

/// Parameters of a group norm.
#[derive(Clone, Copy)]
pub struct NormParams<'a> {
    /// Scale of each channel, `[C]`.
    pub weight: &'a Tensor,
    /// Shift of each channel, `[C]`.
    pub bias: &'a Tensor,
    /// Number of groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
}

/// Normalization of images before a convolution.
#[derive(Clone, Copy)]
pub struct Normalize<'a> {
    /// Parameters of the group norm.
    pub params: NormParams<'a>,
    /// Applies silu to the normalized images. Always applied after a modulation.
    pub silu: bool,
    /// Scales followed by shifts of each sample, `[B, 2C]`: see
    /// [`crate::group_norm_scale_shift_silu`].
    pub modulation: Option<&'a Value>,
}

/// Normalizes images without a convolution.
///
/// # Errors
///
/// If the shapes do not match.
pub fn normalize(x: &Value, norm: Normalize<'_>) -> Result<Value> {
    let NormParams { weight, bias, groups, eps } = norm.params;
    let Some(tape) = x.tape() else {
        let y = match norm.modulation {
            Some(modulation) => {
                let channels = weight.dim(0)?;
                let part = |start| modulation.tensor().narrow(1, start, channels);
                let (scale, shift) = (part(0)?, part(channels)?);
                let x = x.tensor();
                crate::group_norm_scale_shift_silu(x, weight, bias, &scale, &shift, groups, eps)
            }
            None if norm.silu => crate::group_norm_silu(x.tensor(), weight, bias, groups, eps),
            None => crate::group_norm(x.tensor(), weight, bias, groups, eps),
        };
        return y.map(Value::in_graph);
    };
    let recorded = Recorded::new(tape, &norm)?;
    let op = GroupNorm::new(Isa::detect(), groups, eps, norm.silu);
    let y = x.tensor().apply_op3_no_bwd(&recorded.weight, &recorded.bias, &op)?;
    let (grad_x, [a, b, c], x) = (x.node(), recorded.nodes, x.tensor().clone());
    Ok(tape.record(y, [grad_x, a, b, c], || {
        move |grad: Tensor, grads: &mut Gradients| {
            let [x, grad_weight, grad_bias] = op.gradients(&x, &grad)?;
            grads.give(grad_x, || Ok(x))?;
            recorded.back(&[grad_weight, grad_bias], grads)
        }
    }))
}

/// A norm's parameters as applied, and their places on the tape.
pub(super) struct Recorded {
    /// `[C]`, or `[B, C]` if the samples are modulated.
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    own: [Tensor; 2],
    /// `scale + 1`, `[B, C]`.
    scale: Option<Tensor>,
    pub(super) nodes: [Option<Node>; 3],
}

impl Recorded {
    pub(super) fn new(tape: &Tape, norm: &Normalize<'_>) -> Result<Self> {
        let NormParams { weight, bias, .. } = norm.params;
        let nodes = [
            tape.param(weight),
            tape.param(bias),
            norm.modulation.and_then(|modulation| modulation.node()),
        ];
        let own = [weight.detach().contiguous()?, bias.detach().contiguous()?];
        let [weight, bias] = own.clone();
        let Some(modulation) = norm.modulation else {
            return Ok(Self { weight, bias, own, scale: None, nodes });
        };
        let channels = weight.dim(0)?;
        let part = |start| modulation.tensor().narrow(1, start, channels);
        // One affine map per sample: (scale + 1)(weight x̂ + bias) + shift.
        let scale = (part(0)? + 1.0)?;
        let bias = (scale.broadcast_mul(&bias)? + part(channels)?)?;
        Ok(Self { weight: scale.broadcast_mul(&weight)?, bias, own, scale: Some(scale), nodes })
    }

    /// Back-propagates the gradients with respect to the weight and bias of each sample, `[B, C]`.
    pub(super) fn back(
        &self,
        [grad_weight, grad_bias]: &[Tensor; 2],
        grads: &mut Gradients,
    ) -> Result<()> {
        let [weight, bias, modulation] = self.nodes;
        let Some(scale) = &self.scale else {
            grads.give(weight, || grad_weight.sum(0))?;
            return grads.give(bias, || grad_bias.sum(0));
        };
        grads.give(weight, || (grad_weight * scale)?.sum(0))?;
        grads.give(bias, || (grad_bias * scale)?.sum(0))?;
        grads.give(modulation, || {
            let [weight, bias] = &self.own;
            let grad_scale =
                (grad_weight.broadcast_mul(weight)? + grad_bias.broadcast_mul(bias)?)?;
            Tensor::cat(&[&grad_scale, grad_bias], 1)
        })
    }
}
