//! Behavior of candle that this workspace relies on and that candle does not document. One test per
//! fact: a new version of candle that fails one of them needs changes here before it can be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, DType, Device, InplaceOp1, Layout, Result, Shape, Tensor, Var,
};

fn var(values: &[f32]) -> Var {
    Var::new(values, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_vec1().unwrap()
}

/// `2 x`, which counts the calls of its backward pass and checks the gradient it receives.
struct Double {
    calls: Arc<AtomicUsize>,
    expected: f32,
}

impl CustomOp1 for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = x.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(values(grad), [self.expected]);
        Ok(Some((grad * 2.0)?))
    }
}

/// `a + b`, whose backward pass returns a gradient for `a` only.
struct FirstOnly;

impl CustomOp2 for FirstOnly {
    fn name(&self) -> &'static str {
        "first_only"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        layout: &Layout,
        b: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (a.as_slice::<f32>()?, b.as_slice::<f32>()?);
        let sum = a.iter().zip(b).map(|(a, b)| a + b).collect();
        Ok((CpuStorage::F32(sum), layout.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(grad.clone()), None))
    }
}

/// `x ← 7`.
struct Seven;

impl InplaceOp1 for Seven {
    fn name(&self) -> &'static str {
        "seven"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, _: &Layout) -> Result<()> {
        match x {
            CpuStorage::F32(x) => x.fill(7.0),
            _ => candle_core::bail!("seven: not f32"),
        }
        Ok(())
    }
}

/// A frozen network is a set of detached views of its variables.
#[test]
fn detached_views_follow_var_set() {
    let x = var(&[1.0]);
    let views = [x.as_detached_tensor(), x.as_tensor().detach()];
    x.set(&Tensor::new(&[5f32], &Device::Cpu).unwrap()).unwrap();
    for view in views {
        assert_eq!(values(&view), [5.0]);
    }
}

/// Adam and the moving average write in place.
#[test]
fn detached_views_follow_in_place_operations() {
    let x = var(&[1.0]);
    let view = x.as_detached_tensor();
    x.inplace_op1(&Seven).unwrap();
    assert_eq!(values(&view), [7.0]);
}

/// Parameters are set from tensors that change later, such as an average.
#[test]
fn var_set_copies_its_source() {
    let (x, source) = (var(&[1.0]), var(&[2.0]));
    x.set(&source).unwrap();
    source.inplace_op1(&Seven).unwrap();
    assert_eq!(values(&x), [2.0]);
}

/// Kernels skip the gradient of an operand that is not tracked.
#[test]
fn track_op_is_true_for_variables_and_their_results_only() {
    let x = var(&[1.0]);
    let frozen = x.as_detached_tensor();
    assert!(x.track_op() && (x.as_tensor() * 2.0).unwrap().track_op());
    assert!((x.as_tensor() + &frozen).unwrap().track_op());
    assert!(!frozen.track_op() && !(&frozen * 2.0).unwrap().track_op());
    assert!(!(x.as_tensor() * 2.0).unwrap().detach().track_op());
}

/// The token of a network treats variables and intermediate tensors differently.
#[test]
fn is_variable_is_true_for_variables_only() {
    let x = var(&[1.0]);
    assert!(x.as_tensor().clone().is_variable());
    assert!(!x.as_detached_tensor().is_variable() && !(x.as_tensor() * 2.0).unwrap().is_variable());
}

/// The tape finds parameters by the id of the tensor.
#[test]
fn clones_of_a_variable_share_its_id_and_views_do_not() {
    let x = var(&[1.0]);
    assert_eq!(x.as_tensor().clone().id(), x.id());
    assert_ne!(x.as_detached_tensor().id(), x.id());
}

/// Layers on a tape run kernels outside candle's graph.
#[test]
fn operations_without_backward_pass_are_not_tracked() {
    let x = var(&[1.0]);
    let op = Double { calls: Arc::default(), expected: 1.0 };
    let y = x.apply_op1_no_bwd(&op).unwrap();
    assert!(!y.track_op() && values(&y) == [2.0]);
}

/// A store of gradients holds the gradients of variables, which our `backward` adds to, and drops
/// the gradients of intermediate tensors.
#[test]
fn backward_drops_gradients_of_intermediate_tensors() {
    let x = var(&[3.0]);
    let inner = (x.as_tensor() * 4.0).unwrap();
    let grads = inner.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(values(grads.get(&x).unwrap()), [96.0]);
    assert!(grads.get(&inner).is_none());
}

/// Gradients that a network has delivered elsewhere are `None` for candle.
#[test]
fn backward_accepts_no_gradient_for_a_variable() {
    let (a, b) = (var(&[1.0]), var(&[2.0]));
    let sum = a.apply_op2(&b, FirstOnly).unwrap();
    let grads = sum.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(grads.get(&a).unwrap()), [1.0]);
    assert!(grads.get(&b).is_none());
}

/// A parameter of several layers gets the sum of its gradients.
#[test]
fn backward_sums_the_gradients_of_all_uses() {
    let x = var(&[3.0]);
    let loss = (x.sqr().unwrap() + (x.as_tensor() * 10.0).unwrap()).unwrap();
    let grads = loss.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(grads.get(&x).unwrap()), [16.0]);
}

/// A network on a tape can be back-propagated only once, with the complete gradient of its output.
#[test]
fn backward_calls_an_operation_once_with_the_complete_gradient() {
    let x = var(&[1.0]);
    let calls = Arc::new(AtomicUsize::new(0));
    let y = x.apply_op1(Double { calls: Arc::clone(&calls), expected: 5.0 }).unwrap();
    let loss = ((&y * 2.0).unwrap() + (&y * 3.0).unwrap()).unwrap();
    let grads = loss.sum_all().unwrap().backward().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(values(grads.get(&x).unwrap()), [10.0]);
}

/// Public operations make operands contiguous before every kernel, which must cost nothing.
#[test]
fn contiguous_tensors_are_not_copied() {
    let x = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
    let address = |x: &Tensor| std::ptr::from_ref(&*x.storage_and_layout().0);
    assert_eq!(address(&x), address(&x.contiguous().unwrap()));
    assert_ne!(address(&x), address(&x.copy().unwrap()));
}
