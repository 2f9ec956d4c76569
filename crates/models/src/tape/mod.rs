//! The networks' own reverse pass, for f32 on the CPU.
//!
//! candle's graph holds every intermediate until the loss is dropped, and adds each gradient to a
//! tensor of zeros. Here a network records what it does on a [`Tape`] while it runs, and is a single
//! operation of candle's graph ([`bridge`]). On the way back each step is dropped with what it had
//! saved as soon as it has been taken, the first gradient of a value is stored as it is, and of what
//! nobody wants a gradient of, nothing is saved.
//!
//! The layers are written once, on [`Value`]s: a value of a tape runs the bare kernels, any other
//! goes through candle's graph, on every device and in every precision.

pub(crate) mod bridge;
mod gradients;
pub(crate) mod layers;
pub(crate) mod norm;
pub(crate) mod norm_conv;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::{Result, Tensor, TensorId};

use crate::ops::bare::{ChannelMoments, Part};

pub(crate) use gradients::{Gradients, Scaled};

/// Number of a value that wants a gradient.
pub(crate) type Node = usize;

/// From the gradient by a step's output to those by its operands.
pub(crate) type Step = Box<dyn FnOnce(Scaled, &mut Gradients) -> Result<()> + Send>;

/// A tensor on its way through a network.
#[derive(Clone)]
pub(crate) struct Value {
    tensor: Tensor,
    /// The moments of its channels, if it is images whose maker has taken them.
    moments: Option<Arc<Vec<ChannelMoments>>>,
    /// The tape, if this is of one, and the value's number, if a gradient is wanted.
    place: Option<(Tape, Option<Node>)>,
}

impl Value {
    /// A value of candle's graph.
    pub(crate) fn of_graph(tensor: Tensor) -> Self {
        Self { tensor, moments: None, place: None }
    }

    /// The numbers; those of a tape are detached.
    pub(crate) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The tape that it is of.
    pub(crate) fn tape(&self) -> Option<&Tape> {
        self.place.as_ref().map(|(tape, _)| tape)
    }

    /// Its number, if a gradient is wanted.
    pub(crate) fn node(&self) -> Option<Node> {
        self.place.as_ref().and_then(|(_, node)| *node)
    }

    /// The tensor with what is known of it.
    fn part(&self) -> Part {
        Part { tensor: self.tensor.clone(), moments: self.moments.clone() }
    }

    /// Another tensor of the same tape or graph, of which no gradient is wanted by itself.
    pub(crate) fn constant(&self, tensor: Tensor) -> Self {
        match self.tape() {
            Some(tape) => {
                let place = Some((tape.clone(), None));
                Self { tensor: tensor.detach(), moments: None, place }
            }
            None => Self::of_graph(tensor),
        }
    }
}

/// What a network does, step by step.
#[derive(Clone, Default)]
pub(crate) struct Tape(Rc<RefCell<Records>>);

/// The contents of a tape.
#[derive(Default)]
struct Records {
    /// How many values want a gradient.
    nodes: usize,
    /// The steps, each with the number of its output, in the order they were taken.
    steps: Vec<(Node, Step)>,
    /// The tracked parameters that were used.
    params: Vec<(Tensor, Node)>,
    param_nodes: HashMap<TensorId, Node>,
}

impl Records {
    fn number(&mut self) -> Node {
        self.nodes += 1;
        self.nodes - 1
    }
}

impl Tape {
    /// A value to begin with; `wanted` if the reverse pass is to give its gradient.
    pub(crate) fn input(&self, tensor: &Tensor, wanted: bool) -> Value {
        let node = wanted.then(|| self.0.borrow_mut().number());
        Value { tensor: tensor.detach(), moments: None, place: Some((self.clone(), node)) }
    }

    /// The number of a parameter, or none if it is frozen.
    pub(crate) fn param(&self, tensor: &Tensor) -> Option<Node> {
        if !tensor.track_op() {
            return None;
        }
        let mut records = self.0.borrow_mut();
        if let Some(node) = records.param_nodes.get(&tensor.id()) {
            return Some(*node);
        }
        let node = records.number();
        records.param_nodes.insert(tensor.id(), node);
        records.params.push((tensor.clone(), node));
        Some(node)
    }

    /// The output of a step that wants its gradient as a plain tensor.
    pub(crate) fn record<const N: usize, S>(
        &self,
        output: Tensor,
        operands: [Option<Node>; N],
        step: impl FnOnce() -> S,
    ) -> Value
    where
        S: FnOnce(Tensor, &mut Gradients) -> Result<()> + Send + 'static,
    {
        self.record_scaled(output, operands, || {
            let step = step();
            Box::new(move |grad, grads| step(grad.tensor()?, grads))
        })
    }

    /// The output of a step. `step` is called only if one of `operands` wants a gradient.
    pub(crate) fn record_scaled<const N: usize>(
        &self,
        output: Tensor,
        operands: [Option<Node>; N],
        step: impl FnOnce() -> Step,
    ) -> Value {
        let node = operands.iter().any(Option::is_some).then(|| {
            let step = step();
            let mut records = self.0.borrow_mut();
            let node = records.number();
            records.steps.push((node, step));
            node
        });
        Value { tensor: output, moments: None, place: Some((self.clone(), node)) }
    }

    /// The way back from `output`, if anything wants a gradient of it. The tape is empty after.
    pub(crate) fn reverse(&self, output: &Value) -> Option<Reverse> {
        let Records { nodes, steps, params, .. } = self.0.take();
        output.node().map(|output| Reverse { output, nodes, steps, params })
    }
}

/// The way back through what a tape has recorded.
pub(crate) struct Reverse {
    output: Node,
    nodes: usize,
    steps: Vec<(Node, Step)>,
    params: Vec<(Tensor, Node)>,
}

impl Reverse {
    /// The tracked parameters, in the order of their first use.
    pub(crate) fn params(&self) -> impl Iterator<Item = &Tensor> {
        self.params.iter().map(|(tensor, _)| tensor)
    }

    /// Goes back from the gradient by the output. Returns the gradient by the value of number
    /// `input`, and those by the parameters.
    pub(crate) fn run(self, grad: Tensor, input: Option<Node>) -> Result<ReverseGradients> {
        let mut grads = Gradients::new(self.nodes);
        grads.put(Some(self.output), Scaled(grad, 1.0));
        for (node, step) in self.steps.into_iter().rev() {
            if let Some(grad) = grads.take(node)? {
                step(grad, &mut grads)?;
            }
        }
        let mut of = |node| grads.take(node)?.map(Scaled::tensor).transpose();
        let input = input.map(&mut of).transpose()?.flatten();
        let mut params = Vec::with_capacity(self.params.len());
        for (param, node) in self.params {
            if let Some(grad) = of(node)? {
                params.push((param, grad));
            }
        }
        Ok(ReverseGradients { input, params })
    }
}

/// What a reverse pass ends with.
pub(crate) struct ReverseGradients {
    /// By the input, if wanted and if the output depends on it.
    pub input: Option<Tensor>,
    /// By each parameter that the output depends on.
    pub params: Vec<(Tensor, Tensor)>,
}
