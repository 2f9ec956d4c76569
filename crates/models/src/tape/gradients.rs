//! Gradients on their way back.

use candle_core::{Result, Tensor};

use super::Node;
use crate::ops;

/// The gradients so far, by the number of the value.
pub(crate) struct Gradients(Vec<Option<Tensor>>);

impl Gradients {
    pub(super) fn new(nodes: usize) -> Self {
        Self(vec![None; nodes])
    }

    /// Takes the gradient of a value that all its uses have given their part to.
    pub(super) fn take(&mut self, node: Node) -> Option<Tensor> {
        self.0[node].take()
    }

    /// Gives a part of the gradient by a value.
    pub(crate) fn add(&mut self, node: Node, grad: Tensor) -> Result<()> {
        let sum = match self.0[node].take() {
            None => grad,
            Some(sum) => ops::add_scaled(&sum, &grad, 1.0)?,
        };
        self.0[node] = Some(sum);
        Ok(())
    }

    /// [`add`](Self::add)s what `grad` computes, if the value wants it.
    pub(crate) fn give(
        &mut self,
        node: Option<Node>,
        grad: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        match node {
            Some(node) => self.add(node, grad()?),
            None => Ok(()),
        }
    }
}
