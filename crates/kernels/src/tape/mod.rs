//! A backward pass for whole networks, for f32 on the CPU, and the layers that it differentiates.
//!
//! candle's graph keeps every intermediate until the loss is dropped, and adds each gradient to a
//! tensor of zeros. Here, [`run`] records a network on a tape while it runs, and the whole network
//! becomes one operation of candle's graph. In the backward pass, each step is dropped with the
//! tensors it saved as soon as its gradients are known, the first gradient of a value is stored
//! without a sum, and nothing is saved for gradients that no parameter or input needs.
//!
//! Networks are written once, in terms of [`Value`] and [`layers`]. A value on a tape runs this
//! crate's kernels directly. Any other value goes through candle's graph, on every device and in
//! every precision.
//!
//! # Example
//!
//! A network of two layers, recorded and differentiated:
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use uni_instruct_kernels::{backward, tape, tape::layers};
//!
//! let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
//! let first = Var::new(&[[3f32, 0.0], [0.0, 4.0]], &Device::Cpu)?;
//! let second = Var::new(&[[5f32, 6.0]], &Device::Cpu)?;
//!
//! let y = tape::run(&x, &[], |x| {
//!     let hidden = layers::linear(x, &first, None)?;
//!     layers::linear(&hidden, &second, None)
//! })?;
//! // 5 · (3 · 1) + 6 · (4 · 2)
//! assert_eq!(y.to_vec2::<f32>()?, [[63.0]]);
//!
//! let grads = backward(&y.sum_all()?)?;
//! assert_eq!(grads.get(&second).unwrap().to_vec2::<f32>()?, [[3.0, 8.0]]);
//! assert_eq!(grads.get(&first).unwrap().to_vec2::<f32>()?, [[5.0, 10.0], [6.0, 12.0]]);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod bridge;
mod gradients;
pub mod layers;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use candle_core::{Result, Tensor, TensorId};

use crate::group_norm::moments::ChannelMoments;
use crate::norm_conv::Part;

pub use bridge::{backward, run};
pub use layers::norm::{NormParams, Normalize};
pub use layers::norm_conv::Plus;

use gradients::{Gradients, Scaled};

/// Number of a value that needs a gradient.
type Node = usize;

/// Function from the gradient with respect to a step's output to those with respect to its
/// operands.
type Step = Box<dyn FnOnce(Scaled, &mut Gradients) -> Result<()> + Send>;

/// A tensor inside a network: on a tape, or in candle's graph.
///
/// [`run`] makes the first value of a network, and [`layers`] make the others.
#[derive(Clone)]
pub struct Value {
    tensor: Tensor,
    /// Moments of the channels, if the layer that made these images has measured them.
    moments: Option<Arc<Vec<ChannelMoments>>>,
    /// The tape, if the value is on one, and the value's number there, if it needs a gradient.
    place: Option<(Tape, Option<Node>)>,
}

impl Value {
    /// A value in candle's graph: layers apply the public operations to it.
    pub fn in_graph(tensor: Tensor) -> Self {
        Self { tensor, moments: None, place: None }
    }

    /// The elements. The tensor of a value on a tape is detached from candle's graph.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Another tensor on the same tape or in the same graph. On a tape, it gets no gradient.
    pub fn constant(&self, tensor: Tensor) -> Self {
        match self.tape() {
            Some(tape) => {
                let place = Some((tape.clone(), None));
                Self { tensor: tensor.detach(), moments: None, place }
            }
            None => Self::in_graph(tensor),
        }
    }

    fn tape(&self) -> Option<&Tape> {
        self.place.as_ref().map(|(tape, _)| tape)
    }

    /// The number on the tape, if a gradient is needed.
    fn node(&self) -> Option<Node> {
        self.place.as_ref().and_then(|(_, node)| *node)
    }

    /// The tensor with its known moments.
    fn part(&self) -> Part {
        Part { tensor: self.tensor.clone(), moments: self.moments.clone() }
    }
}

/// Record of a network's steps.
#[derive(Clone, Default)]
struct Tape(Rc<RefCell<Records>>);

/// Contents of a tape.
#[derive(Default)]
struct Records {
    /// Number of values that need a gradient.
    nodes: usize,
    /// The steps in order, each with the number of its output.
    steps: Vec<(Node, Step)>,
    /// The tracked parameters, in the order of their first use.
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
    /// The input of a network; `tracked` if the backward pass must return its gradient.
    fn input(&self, tensor: &Tensor, tracked: bool) -> Value {
        let node = tracked.then(|| self.0.borrow_mut().number());
        Value { tensor: tensor.detach(), moments: None, place: Some((self.clone(), node)) }
    }

    /// The number of a parameter; `None` if it is frozen.
    fn param(&self, tensor: &Tensor) -> Option<Node> {
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

    /// The output of a step that reads its gradient as a plain tensor.
    fn record<const N: usize, S>(
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

    /// The output of a step. `step` is called only if one of `operands` needs a gradient.
    fn record_scaled<const N: usize>(
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

    /// Returns the backward pass of `output`, or `None` if no operand requires a gradient. Empties
    /// the tape.
    fn reverse(&self, output: &Value) -> Option<Reverse> {
        let Records { nodes, steps, params, .. } = self.0.take();
        output.node().map(|output| Reverse { output, nodes, steps, params })
    }
}

/// Backward pass through the records of a tape.
struct Reverse {
    output: Node,
    nodes: usize,
    steps: Vec<(Node, Step)>,
    params: Vec<(Tensor, Node)>,
}

impl Reverse {
    /// The tracked parameters, in the order of their first use.
    fn params(&self) -> impl Iterator<Item = &Tensor> {
        self.params.iter().map(|(tensor, _)| tensor)
    }

    /// Runs from the gradient with respect to the output. Returns the gradient with respect to the
    /// value numbered `input`, and those with respect to the parameters.
    fn run(self, grad: Tensor, input: Option<Node>) -> Result<ReverseGradients> {
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

/// Result of a backward pass.
struct ReverseGradients {
    /// Gradient with respect to the input, if it was tracked and the output depends on it.
    input: Option<Tensor>,
    /// Each parameter that the output depends on, with its gradient.
    params: Vec<(Tensor, Tensor)>,
}
