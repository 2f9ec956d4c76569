//! Gradients during a backward pass.

use candle_core::{Result, Tensor};

use super::Node;
use crate::isa::Isa;
use crate::pointwise::cpu::{AddScaled, weighted_sum};

/// A tensor times a factor, which is applied by the kernel that next reads the tensor.
#[derive(Clone)]
pub(super) struct Scaled(pub Tensor, pub f64);

impl Scaled {
    /// The product.
    pub(super) fn tensor(self) -> Result<Tensor> {
        match self {
            Self(tensor, 1.0) => Ok(tensor),
            Self(tensor, scale) => AddScaled { isa: Isa::detect(), scale }.gradient(&tensor),
        }
    }

    fn add(self, other: Self) -> Result<Self> {
        let (Self(a, a_factor), Self(b, b_factor)) = (self, other);
        Ok(Self(weighted_sum(Isa::detect(), [(&a, a_factor), (&b, b_factor)])?, 1.0))
    }
}

/// Gradients, indexed by the number of the value, each as a list of terms that are not yet summed.
pub(super) struct Gradients(Vec<Vec<Scaled>>);

impl Gradients {
    pub(super) fn new(nodes: usize) -> Self {
        Self(vec![Vec::new(); nodes])
    }

    /// Removes and returns the gradient accumulated so far. It is complete once every consumer of
    /// the value has run; a step that calls this earlier must add its own term to the gradient and
    /// put the sum back.
    pub(super) fn take(&mut self, node: Node) -> Result<Option<Scaled>> {
        let mut terms = std::mem::take(&mut self.0[node]).into_iter();
        let Some(first) = terms.next() else { return Ok(None) };
        terms.try_fold(first, Scaled::add).map(Some)
    }

    /// Adds a term to the gradient with respect to a value, if that value needs one.
    pub(super) fn put(&mut self, node: Option<Node>, term: Scaled) {
        if let Some(node) = node {
            self.0[node].push(term);
        }
    }

    /// [`put`](Self::put)s the tensor that `grad` computes, if the value needs a gradient.
    pub(super) fn give(
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
