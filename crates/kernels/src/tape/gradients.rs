//! Gradients on their way back.

use candle_core::{Result, Tensor};

use super::Node;
use crate::bare;

/// A tensor times a factor: the factor is left to whoever reads the tensor anyway.
#[derive(Clone)]
pub(crate) struct Scaled(pub Tensor, pub f64);

impl Scaled {
    /// The product.
    pub(crate) fn tensor(self) -> Result<Tensor> {
        match self {
            Self(tensor, 1.0) => Ok(tensor),
            Self(tensor, factor) => bare::add_scaled(factor).gradient(&tensor),
        }
    }

    fn add(self, other: Self) -> Result<Self> {
        let (Self(a, a_factor), Self(b, b_factor)) = (self, other);
        Ok(Self(bare::weighted_sum([(&a, a_factor), (&b, b_factor)])?, 1.0))
    }
}

/// The gradients so far, by the number of the value, each in parts that have still to be added up.
pub(crate) struct Gradients(Vec<Vec<Scaled>>);

impl Gradients {
    pub(super) fn new(nodes: usize) -> Self {
        Self(vec![Vec::new(); nodes])
    }

    /// Takes what has been given so far by the uses of a value: by all of them, if its own step is
    /// next; else for a step that gives the sum of it and its own part back.
    pub(crate) fn take(&mut self, node: Node) -> Result<Option<Scaled>> {
        let mut parts = std::mem::take(&mut self.0[node]).into_iter();
        let Some(first) = parts.next() else { return Ok(None) };
        parts.try_fold(first, Scaled::add).map(Some)
    }

    /// Gives a part of the gradient by a value, if that wants any.
    pub(crate) fn put(&mut self, node: Option<Node>, part: Scaled) {
        if let Some(node) = node {
            self.0[node].push(part);
        }
    }

    /// [`put`](Self::put)s what `grad` computes, if the value wants it.
    pub(crate) fn give(
        &mut self,
        node: Option<Node>,
        grad: impl FnOnce() -> Result<Tensor>,
    ) -> Result<()> {
        if node.is_some() {
            self.put(node, Scaled(grad()?, 1.0));
        }
        Ok(())
    }
}
