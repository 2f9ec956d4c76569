//! Runs of table rows, and comparison of their results.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use uni_instruct_kernels::noise::NoiseStream;
use uni_instruct_kernels::runtime::{Kernels, limit_kernels};

use crate::table::{Row, Size};

/// Standard normal values.
pub fn normal(stream: u32, shape: &[usize]) -> Tensor {
    NoiseStream::new(21, stream).normal_tensor(0, shape, &Device::Cpu).unwrap()
}

/// Operands of a row, f32.
pub fn operands(row: &Row, size: Size) -> Vec<Tensor> {
    (row.shapes)(size).iter().zip(0..).map(|(shape, stream)| normal(stream, shape)).collect()
}

/// Runs `f` under each limit on the kernels. The limit applies to the process, so callers run one
/// at a time.
pub fn with_each_kernels(f: impl Fn(Kernels)) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for kernels in [Kernels::Portable, Kernels::Avx2, Kernels::Best] {
        limit_kernels(kernels);
        f(kernels);
    }
}

/// A loss whose gradient with respect to the output is fixed and arbitrary.
pub fn loss(y: &Tensor) -> Tensor {
    (y * normal(99, y.dims()).to_dtype(y.dtype()).unwrap()).unwrap()
}

/// Output of a row, and its gradients with respect to all operands.
#[derive(Clone)]
pub struct Outcome {
    pub output: Tensor,
    pub gradients: Vec<Tensor>,
}

impl Outcome {
    /// All tensors, with a name each.
    pub fn parts(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let gradients = self.gradients.iter().enumerate();
        let named = gradients.map(|(i, it)| (format!("gradient with respect to operand {i}"), it));
        std::iter::once(("output".to_owned(), &self.output)).chain(named)
    }
}

/// Runs a row on tracked operands, which are cast to `dtype` and passed through `view`. The result
/// includes the gradients of the sum of `loss` with respect to the operands before `view`.
pub fn run_viewed(
    row: &Row,
    operands: &[Tensor],
    dtype: DType,
    view: impl Fn(usize, &Tensor) -> Tensor,
    loss: impl Fn(&Tensor) -> Tensor,
) -> Outcome {
    let vars: Vec<Var> =
        operands.iter().map(|it| Var::from_tensor(&it.to_dtype(dtype).unwrap()).unwrap()).collect();
    let viewed: Vec<Tensor> = vars.iter().enumerate().map(|(i, it)| view(i, it)).collect();
    let y = (row.op)(&viewed).unwrap_or_else(|error| panic!("{}: {error}", row.name));
    let store = loss(&y).sum_all().unwrap().backward().unwrap();
    let gradient = |(i, var): (usize, &Var)| match store.get(var) {
        Some(gradient) => gradient.clone(),
        // candle drops operands from the graph if the result is empty.
        None if y.elem_count() == 0 => var.zeros_like().unwrap(),
        None => panic!("{}: operand {i} got no gradient", row.name),
    };
    let gradients = vars.iter().enumerate().map(gradient).collect();
    Outcome { output: y.detach(), gradients }
}

/// Runs a row on unchanged operands.
pub fn run(row: &Row, operands: &[Tensor], dtype: DType) -> Outcome {
    run_viewed(row, operands, dtype, |_, it| it.clone(), loss)
}

/// The elements of a tensor in f64, which represents f32 exactly.
pub fn numbers(it: &Tensor) -> Vec<f64> {
    it.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Asserts the same shape and elements, bit for bit. All NaN are equal.
#[track_caller]
pub fn assert_same(what: &str, got: &Tensor, expected: &Tensor) {
    assert_eq!(got.dims(), expected.dims(), "{what}");
    let is_same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
    let (got, expected) = (numbers(got), numbers(expected));
    let count = got.iter().zip(&expected).filter(|it| !is_same(*it)).count();
    assert_eq!(count, 0, "{what}: {count} of {} numbers differ", got.len());
}

/// Asserts the same shape, and elements within `tolerance` times the largest magnitude, or times
/// one half if all are smaller. Terms have size one, and a sum that cancels is no more exact.
#[track_caller]
pub fn assert_close(what: &str, tolerance: f64, got: &Tensor, expected: &Tensor) {
    assert_eq!(got.dims(), expected.dims(), "{what}");
    let (got, expected) = (numbers(got), numbers(expected));
    let scale = expected.iter().fold(0.5_f64, |max, it| max.max(it.abs()));
    for (got, expected) in got.iter().zip(&expected) {
        let error = (got - expected).abs() / scale;
        // Written so that NaN fails.
        assert!(error < tolerance, "{what}: {got} for {expected}, off by {error:.1e}");
    }
}
