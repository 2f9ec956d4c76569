//! Comparison of a kernel with the composed form, for the tests of the operations.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::noise::NoiseStream;

/// Standard normal values of this shape in f32, which depend only on `seed`.
pub(super) fn normal(seed: u64, shape: &[usize]) -> Tensor {
    NoiseStream::new(seed, 7).normal_tensor(0, shape, &Device::Cpu).unwrap()
}

/// Smallest magnitude that differences are relative to. Results are sums of terms of size one, and
/// a sum that cancels is no more exact than its terms.
const SMALLEST_SCALE: f64 = 0.5;

/// The largest difference, relative to the largest magnitude of `expected`.
pub(super) fn error(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let numbers = |it: &Tensor| {
        it.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let (got, expected) = (numbers(got), numbers(expected));
    let scale = expected.iter().fold(SMALLEST_SCALE, |max, it| max.max(it.abs()));
    got.iter().zip(&expected).fold(0f64, |max, (got, expected)| {
        let difference = (got - expected).abs() / scale;
        // A NaN is an infinite error: `max` would drop it.
        if difference.is_nan() { f64::INFINITY } else { max.max(difference) }
    })
}

/// Output of `f` and its gradients with respect to all arguments, for the loss `Σ grad · f(args)`
/// with fixed random `grad`. Arguments are cast to `dtype` and tracked.
pub(super) fn run(
    dtype: DType,
    args: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> =
        args.iter().map(|it| Var::from_tensor(&it.to_dtype(dtype).unwrap()).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|it| it.as_tensor().clone()).collect();
    let y = f(&tracked).unwrap();
    let grad = normal(99, y.dims()).to_dtype(dtype).unwrap();
    let grads = (&y * grad).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = |var: &Var| grads.get(var).expect("every argument gets a gradient").clone();
    (y.detach(), vars.iter().map(gradient).collect())
}

/// Asserts that `got` in f32 agrees with `expected` in f64, in the output and every gradient, to
/// within `tolerance` of the largest magnitude.
#[track_caller]
pub(super) fn assert_agrees(
    what: &str,
    tolerance: f64,
    args: &[Tensor],
    got: impl Fn(&[Tensor]) -> Result<Tensor>,
    expected: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (y, grads) = run(DType::F32, args, got);
    let (y_expected, grads_expected) = run(DType::F64, args, expected);
    let e = error(&y, &y_expected);
    assert!(e < tolerance, "{what}: output is off by {e:.1e}");
    for (i, (grad, expected)) in grads.iter().zip(&grads_expected).enumerate() {
        let e = error(grad, expected);
        assert!(e < tolerance, "{what}: gradient with respect to argument {i} is off by {e:.1e}");
    }
}

/// Asserts that output and gradients have the same bits in pools of 1, 2 and 3 threads.
#[track_caller]
pub(super) fn assert_thread_invariant(
    args: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor> + Sync,
) {
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (y, grads) = pool.install(|| run(DType::F32, args, &f));
        let all = std::iter::once(y).chain(grads);
        all.map(|it| it.flatten_all().unwrap().to_vec1::<f32>().unwrap())
            .map(|it| it.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let one = bits(1);
    for threads in [2, 3] {
        assert!(one == bits(threads), "{threads} threads give other bits than one");
    }
}

/// Freezes one argument at a time. Asserts that it gets no gradient, and that the others get the
/// same as if all were tracked.
#[track_caller]
pub(super) fn assert_frozen_arguments_get_no_gradient(
    args: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let (_, all) = run(DType::F32, args, &f);
    for frozen in 0..args.len() {
        let vars: Vec<Var> = args.iter().map(|it| Var::from_tensor(it).unwrap()).collect();
        let mut mixed: Vec<Tensor> = vars.iter().map(|it| it.as_tensor().clone()).collect();
        mixed[frozen] = vars[frozen].as_detached_tensor();
        let y = f(&mixed).unwrap();
        if args.len() == 1 {
            assert!(!y.track_op(), "tracked without a tracked argument");
            continue;
        }
        let grads = (&y * normal(99, y.dims())).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&mixed[frozen]).is_none(), "frozen argument {frozen} got a gradient");
        for (i, (var, expected)) in vars.iter().zip(&all).enumerate() {
            if i != frozen {
                let got = grads.get(var).expect("a tracked argument gets a gradient");
                assert_eq!(error(got, expected), 0.0, "argument {i} with {frozen} frozen");
            }
        }
    }
}

/// Non-contiguous and offset views with the elements of `x: [B, C, H, W]`.
pub(super) fn views(x: &Tensor) -> [Tensor; 3] {
    let (batch, _, _, width) = x.dims4().unwrap();
    let transposed = x.transpose(2, 3).unwrap().contiguous().unwrap().transpose(2, 3).unwrap();
    let padded = x.pad_with_zeros(0, 1, 1).unwrap().narrow(0, 1, batch).unwrap();
    let cropped = x.pad_with_zeros(3, 2, 1).unwrap().narrow(3, 2, width).unwrap();
    [transposed, padded, cropped]
}
