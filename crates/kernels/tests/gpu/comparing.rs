//! Comparison of outputs and gradients of one function on both devices.

use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor, Var};
use kernels::device::parse_device;
use kernels::noise::NoiseStream;

/// Types of the kernels, and the tolerance relative to the largest element: some roundings of the
/// type.
pub const TYPES: [(DType, f64); 3] = [(DType::F32, 2e-5), (DType::F16, 6e-3), (DType::BF16, 4e-2)];

/// Smallest magnitude that differences are relative to.
const SMALLEST_SCALE: f64 = 0.5;

/// The device of all tests. Kernels are loaded once.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| parse_device(crate::DEVICE).unwrap()).clone()
}

/// Standard normal values of this shape, on the CPU in f32.
pub fn normal(seed: u64, shape: &[usize]) -> Tensor {
    NoiseStream::new(seed, 7).normal_tensor(0, shape, &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    let x = x.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    x.flatten_all().unwrap().to_vec1::<f64>().unwrap()
}

/// The largest difference, relative to the largest magnitude of `expected`; infinite for NaN.
pub fn error(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let (got, expected) = (numbers(got), numbers(expected));
    let scale = expected.iter().fold(SMALLEST_SCALE, |max, it| max.max(it.abs()));
    got.iter().zip(&expected).fold(0f64, |max, (got, expected)| {
        let difference = (got - expected).abs() / scale;
        if difference.is_nan() { f64::INFINITY } else { max.max(difference) }
    })
}

/// Output of `f` and its gradients with respect to all arguments, for the loss `Σ grad · f(args)`.
fn run(
    args: &[Tensor],
    grad: &Tensor,
    f: &impl Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = args.iter().map(|it| Var::from_tensor(it).unwrap()).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|it| it.as_tensor().clone()).collect();
    let y = f(&tracked).unwrap();
    let grad = grad.to_dtype(y.dtype()).unwrap().to_device(y.device()).unwrap();
    let grads = (&y * grad).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = |var: &Var| grads.get(var).expect("every argument gets a gradient").clone();
    (y.detach(), vars.iter().map(gradient).collect())
}

/// Asserts that `f` gives the same on the GPU, in each type, as on the CPU in f64, in the
/// output and in the gradients with respect to `args`. Both start from values rounded to the type.
#[track_caller]
pub fn assert_agrees(what: &str, args: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    assert_agrees_in(&TYPES, what, args, f);
}

/// [`assert_agrees`] in some of the types.
#[track_caller]
pub fn assert_agrees_in(
    types: &[(DType, f64)],
    what: &str,
    args: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    for &(dtype, tolerance) in types {
        let rounded: Vec<Tensor> = args.iter().map(|it| it.to_dtype(dtype).unwrap()).collect();
        let to = |device: &Device, dtype: DType| -> Vec<Tensor> {
            let moved = rounded.iter().map(|it| it.to_dtype(dtype)?.to_device(device));
            moved.collect::<Result<_>>().unwrap()
        };
        let double = to(&Device::Cpu, DType::F64);
        let shape = f(&double).unwrap();
        let grad = normal(99, shape.dims()).to_dtype(dtype).unwrap();
        let (y_expected, expected) = run(&double, &grad, &f);
        let (y, grads) = run(&to(&device(), dtype), &grad, &f);
        let stays = y.device().same_device(&device()) && y.dtype() == dtype;
        assert!(stays, "{what}: {:?} {y:?}", y.device());
        let e = error(&y, &y_expected);
        assert!(e < tolerance, "{what}, {dtype:?}: output is off by {e:.1e}");
        for (i, (grad, expected)) in grads.iter().zip(&expected).enumerate() {
            assert_eq!(grad.dtype(), dtype);
            let e = error(grad, expected);
            assert!(e < tolerance, "{what}, {dtype:?}: gradient {i} is off by {e:.1e}");
        }
    }
}

/// Non-contiguous and offset views with the elements of `x: [B, C, H, W]`.
pub fn views(x: &Tensor) -> [Tensor; 3] {
    let (batch, _, _, width) = x.dims4().unwrap();
    let transposed = x.transpose(2, 3).unwrap().contiguous().unwrap().transpose(2, 3).unwrap();
    let padded = x.pad_with_zeros(0, 1, 1).unwrap().narrow(0, 1, batch).unwrap();
    let cropped = x.pad_with_zeros(3, 2, 1).unwrap().narrow(3, 2, width).unwrap();
    [transposed, padded, cropped]
}

/// Asserts that `f` gives the same bits for views of `x: [B, C, H, W]` on the GPU as for `x`.
#[track_caller]
pub fn assert_takes_views(what: &str, x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) {
    let x = x.to_device(&device()).unwrap();
    let expected = f(&x).unwrap();
    for view in views(&x) {
        assert_eq!(
            error(&f(&view).unwrap(), &expected),
            0.0,
            "{what}: a view gives another result"
        );
    }
}
