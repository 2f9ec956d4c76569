//! A network as one operation of candle's graph.
//!
//! An operation of candle has at most three operands and returns a gradient for each, but a network
//! has hundreds of parameters. Its second operand is therefore a token: the root of a tree of
//! operations with three operands, whose leaves are the parameters. candle's graph reaches the
//! parameters through this tree. Gradients follow the same path, or the shorter one of
//! [`backward`], which saves a tensor of zeros and a sum per parameter.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, TensorId,
    bail,
};

use super::{Node, Reverse, Tape, Value};
use crate::storage::has_kernel;

thread_local! {
    /// Variables and their gradients, while [`backward`] runs.
    static COLLECTED: RefCell<Option<Vec<(Tensor, Tensor)>>> = const { RefCell::new(None) };
}

/// Back-propagates `loss` as [`Tensor::backward`] does, with less work for the parameters of
/// networks that ran on a tape.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// let x = Var::new(&[3f32, 4.0], &Device::Cpu)?;
/// let grads = uni_instruct_kernels::backward(&x.sqr()?.sum_all()?)?;
/// assert_eq!(grads.get(&x).unwrap().to_vec1::<f32>()?, [6.0, 8.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`Tensor::backward`].
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let collection = Collection::begin();
    let mut store = loss.backward()?;
    for (param, grad) in collection.end() {
        let sum = match store.remove(&param) {
            Some(sum) => crate::add_scaled(&sum, &grad, 1.0)?,
            None => grad,
        };
        store.insert(&param, sum);
    }
    Ok(store)
}

/// While this value exists, networks put the gradients of variables into [`COLLECTED`].
struct Collection {
    /// Gradients of an enclosing call, which belong to another loss.
    outer: Option<Vec<(Tensor, Tensor)>>,
}

impl Collection {
    fn begin() -> Self {
        Self { outer: COLLECTED.replace(Some(Vec::new())) }
    }

    fn end(self) -> Vec<(Tensor, Tensor)> {
        COLLECTED.take().unwrap_or_default()
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        COLLECTED.set(self.outer.take());
    }
}

/// Runs a network on `x`.
///
/// The network runs on a tape if the kernels support `x`: f32 on the CPU. Otherwise it runs in
/// candle's graph. `others` are the remaining tensors that the network reads: if one of them is
/// tracked, the network runs in candle's graph, because the tape gives gradients only with respect
/// to `x` and the parameters.
///
/// A forward pass can be back-propagated once. For several losses, back-propagate their sum.
///
/// See [`crate::tape`] for an example.
///
/// # Errors
///
/// The errors of `forward`.
pub fn run(
    x: &Tensor,
    others: &[Option<&Tensor>],
    forward: impl FnOnce(&Value) -> Result<Value>,
) -> Result<Tensor> {
    if !has_kernel(&[x]) || others.iter().flatten().any(|it| it.track_op()) {
        return Ok(forward(&Value::in_graph(x.clone()))?.tensor);
    }
    let tape = Tape::default();
    let input = tape.input(&x.contiguous()?, x.track_op());
    let output = forward(&input)?;
    let Some(reverse) = tape.reverse(&output) else { return Ok(output.tensor) };
    let stash = Stash::default();
    let token = token(reverse.params(), &stash)?;
    let network = Network {
        output: output.tensor,
        input: input.node(),
        reverse: Mutex::new(Some(reverse)),
        stash,
    };
    match token {
        Some(token) => x.apply_op2(&token, network),
        None => x.apply_op1(network),
    }
}

/// Gradients with respect to parameters, from the network to the tokens.
#[derive(Clone, Default)]
struct Stash(Arc<Mutex<HashMap<TensorId, Tensor>>>);

impl Stash {
    fn put(&self, param: &Tensor, grad: Tensor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(param.id(), grad);
    }

    fn take(&self, param: &Tensor) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&param.id())
    }
}

/// A network's completed forward pass, as one operation of candle's graph.
struct Network {
    output: Tensor,
    input: Option<Node>,
    /// `None` once the backward pass has run.
    reverse: Mutex<Option<Reverse>>,
    stash: Stash,
}

impl Network {
    fn forward(&self) -> Result<(CpuStorage, Shape)> {
        let numbers = self.output.flatten_all()?.to_vec1::<f32>()?;
        Ok((CpuStorage::F32(numbers), self.output.shape().clone()))
    }

    /// Returns the gradient with respect to the input, if it is tracked. Gradients with respect to
    /// the parameters go to [`COLLECTED`] or to the stash.
    fn backward(&self, x: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let reverse = self.reverse.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(reverse) = reverse else {
            bail!(
                "a network was back-propagated twice through one forward pass; run the forward \
                 pass again, or add the losses and back-propagate their sum"
            )
        };
        let gradients = reverse.run(grad.contiguous()?, self.input)?;
        for (param, grad) in gradients.params {
            let collected = COLLECTED.with_borrow_mut(|collected| match collected {
                Some(collected) if param.is_variable() => {
                    collected.push((param.clone(), grad.clone()));
                    true
                }
                _ => false,
            });
            if !collected {
                self.stash.put(&param, grad);
            }
        }
        let grad_x = gradients.input.map(|grad| grad.reshape(x.shape()));
        grad_x.or_else(|| x.track_op().then(|| x.zeros_like())).transpose()
    }
}

impl CustomOp1 for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward()
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.backward(x, grad)
    }
}

impl CustomOp2 for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward()
    }

    fn bwd(
        &self,
        x: &Tensor,
        token: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.backward(x, grad)?, Some(token.zeros_like()?)))
    }
}

/// The root of a tree over the parameters; `None` without parameters.
fn token<'a>(params: impl Iterator<Item = &'a Tensor>, stash: &Stash) -> Result<Option<Tensor>> {
    let mut tokens: Vec<Tensor> = params.cloned().collect();
    let mut of_params = true;
    while of_params && !tokens.is_empty() || 1 < tokens.len() {
        let join = |three: &[Tensor]| {
            let token = Token { of_params, stash: stash.clone() };
            match three {
                [a, b, c] => a.apply_op3(b, c, token),
                [a, b] => a.apply_op2(b, token),
                rest => rest[0].apply_op1(token),
            }
        };
        tokens = tokens.chunks(3).map(join).collect::<Result<_>>()?;
        of_params = false;
    }
    Ok(tokens.pop())
}

/// Joins up to three parameters, or tokens.
struct Token {
    of_params: bool,
    stash: Stash,
}

impl Token {
    fn forward() -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    fn gradient(&self, operand: &Tensor) -> Result<Option<Tensor>> {
        if !self.of_params {
            return Tensor::zeros(1, DType::F32, operand.device()).map(Some);
        }
        let grad = self.stash.take(operand);
        if operand.is_variable() {
            return Ok(grad);
        }
        // candle requires a gradient for each operation that it reaches.
        grad.map_or_else(|| operand.zeros_like(), Ok).map(Some)
    }
}

impl CustomOp1 for Token {
    fn name(&self) -> &'static str {
        "parameters"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::forward()
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(a)
    }
}

impl CustomOp2 for Token {
    fn name(&self) -> &'static str {
        "parameters"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(a)?, self.gradient(b)?))
    }
}

impl CustomOp3 for Token {
    fn name(&self) -> &'static str {
        "parameters"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward()
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((self.gradient(a)?, self.gradient(b)?, self.gradient(c)?))
    }
}
