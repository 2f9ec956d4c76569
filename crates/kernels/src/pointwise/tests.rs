//! The kernels compared with candle's operations, and the stable functions with f64.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    assert_agrees, assert_frozen_arguments_get_no_gradient, assert_thread_invariant, error, normal,
    run, views,
};

const TOLERANCE: f64 = 1e-6;
const SCALE: f64 = std::f64::consts::FRAC_1_SQRT_2;

fn images() -> [Tensor; 2] {
    [normal(1, &[3, 2, 5, 7]), normal(2, &[3, 2, 5, 7])]
}

fn image_and_channels() -> [Tensor; 2] {
    [normal(1, &[3, 2, 5, 7]), normal(2, &[3, 2])]
}

#[test]
fn kernels_agree_with_candle() {
    let add = |it: &[Tensor]| (&it[0] + &it[1])? * SCALE;
    assert_agrees("add_scaled", TOLERANCE, &images(), |it| add_scaled(&it[0], &it[1], SCALE), add);
    assert_agrees(
        "add_channels",
        TOLERANCE,
        &image_and_channels(),
        |it| add_channels(&it[0], &it[1]),
        |it| it[0].broadcast_add(&it[1].reshape((3, 2, 1, 1))?),
    );
    assert_agrees("silu", TOLERANCE, &images()[..1], |it| silu(&it[0]), |it| it[0].silu());
}

#[test]
fn results_do_not_depend_on_task_boundaries() {
    let [a, b] = [normal(1, &[1, 3, 101, 103]), normal(2, &[1, 3, 101, 103])];
    let add = |it: &[Tensor]| (&it[0] + &it[1])? * SCALE;
    let args = [a, b];
    assert_agrees("add_scaled", TOLERANCE, &args, |it| add_scaled(&it[0], &it[1], SCALE), add);
    assert_agrees("silu", TOLERANCE, &args[..1], |it| silu(&it[0]), |it| it[0].silu());
}

#[test]
fn portable_kernels_agree_with_candle() {
    let isa = Isa::Portable;
    let it = images();
    let (y, expected) = (it[0].apply_op1(cpu::Silu { isa }).unwrap(), it[0].silu().unwrap());
    assert!(error(&y, &expected) < TOLERANCE);
    let y = it[0].apply_op2(&it[1], cpu::AddScaled { isa, scale: SCALE }).unwrap();
    assert!(error(&y, &((&it[0] + &it[1]).unwrap() * SCALE).unwrap()) < TOLERANCE);
    assert_agrees(
        "add_channels",
        TOLERANCE,
        &image_and_channels(),
        |it| it[0].apply_op2(&it[1], cpu::AddChannels { isa }),
        |it| it[0].broadcast_add(&it[1].reshape((3, 2, 1, 1))?),
    );
}

#[test]
fn views_give_the_same_as_copies() {
    let [a, b] = images();
    let c = normal(3, &[2, 3]).t().unwrap();
    let (sum, shifted) = (add_scaled(&a, &b, SCALE).unwrap(), add_channels(&a, &c).unwrap());
    let (smooth, soft) = (silu(&a).unwrap(), softplus(&a).unwrap());
    for view in views(&a) {
        assert_eq!(error(&add_scaled(&view, &b, SCALE).unwrap(), &sum), 0.0);
        assert_eq!(error(&add_channels(&view, &c).unwrap(), &shifted), 0.0);
        assert_eq!(error(&silu(&view).unwrap(), &smooth), 0.0);
        assert_eq!(error(&softplus(&view).unwrap(), &soft), 0.0);
    }
}

#[test]
fn frozen_operands_get_no_gradient() {
    assert_frozen_arguments_get_no_gradient(&images(), |it| add_scaled(&it[0], &it[1], SCALE));
    assert_frozen_arguments_get_no_gradient(&image_and_channels(), |it| {
        add_channels(&it[0], &it[1])
    });
}

#[test]
fn bits_do_not_depend_on_threads() {
    assert_thread_invariant(&image_and_channels(), |it| add_channels(&it[0], &it[1]));
    assert_thread_invariant(&[normal(1, &[1, 3, 101, 103])], |it| silu(&it[0]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Value and derivative compared with f64, without overflow and underflow.
    #[test]
    fn the_losses_functions_are_accurate_to_the_last_place(x in -80f32..80.0) {
        let x = Tensor::new(&[x], &Device::Cpu).unwrap();
        let exact = f64::from(x.to_vec1::<f32>().unwrap()[0]);
        let sigmoid_exact = 1.0 / (1.0 + (-exact).exp());
        let only = |it: &Tensor| f64::from(it.to_vec1::<f32>().unwrap()[0]);
        let (y, derivative) = with_derivative(&x, softplus, x.ones_like().unwrap());
        let softplus_exact = exact.max(0.0) + (-exact.abs()).exp().ln_1p();
        prop_assert!((only(&y) / softplus_exact - 1.0).abs() < 1e-6);
        prop_assert!((only(&derivative) / sigmoid_exact - 1.0).abs() < 1e-6);
        let (y, derivative) = with_derivative(&x, sigmoid, x.ones_like().unwrap());
        prop_assert!((only(&y) / sigmoid_exact - 1.0).abs() < 1e-6);
        let expected = sigmoid_exact * (1.0 - sigmoid_exact);
        prop_assert!((only(&derivative) - expected).abs() < 1e-7);
    }
}

fn with_derivative(
    x: &Tensor,
    f: impl Fn(&Tensor) -> Result<Tensor>,
    grad: Tensor,
) -> (Tensor, Tensor) {
    let x = candle_core::Var::from_tensor(x).unwrap();
    let y = f(x.as_tensor()).unwrap();
    let grads = (&y * grad).unwrap().sum_all().unwrap().backward().unwrap();
    (y.detach(), grads.get(&x).unwrap().clone())
}

/// The analytic derivatives in f64 compared with central differences.
#[test]
fn derivatives_in_f64_are_the_slopes() {
    let x = Tensor::new(&[-30f64, -2.0, -0.5, 0.0, 0.3, 4.0, 30.0], &Device::Cpu).unwrap();
    for f in [softplus, sigmoid, silu] {
        let step = 1e-5;
        let (_, derivative) = with_derivative(&x, f, x.ones_like().unwrap());
        let above = f(&(&x + step).unwrap()).unwrap();
        let below = f(&(&x - step).unwrap()).unwrap();
        let slope = ((above - below).unwrap() / (2.0 * step)).unwrap();
        assert!(error(&derivative, &slope) < 1e-9);
    }
}

#[test]
fn extreme_values_and_nan() {
    let x = Tensor::new(&[-1e30f32, 1e30, f32::NAN], &Device::Cpu).unwrap();
    let numbers = |it: Result<Tensor>| it.unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(numbers(softplus(&x))[..2], [0.0, 1e30]);
    assert_eq!(numbers(sigmoid(&x))[..2], [0.0, 1.0]);
    assert_eq!(numbers(silu(&x))[1], 1e30);
    for f in [softplus, sigmoid, silu] {
        assert!(numbers(f(&x))[2].is_nan());
        let (_, grads) = run(DType::F32, std::slice::from_ref(&x), |it| f(&it[0]));
        let grad = grads[0].to_vec1::<f32>().unwrap();
        assert!(grad[..2].iter().all(|it| it.is_finite()), "{grad:?}");
        assert!(grad[2].is_nan());
    }
}

#[test]
fn rejects_invalid_shapes_and_accepts_empty_batches() {
    let [a, b] = images();
    assert!(add_scaled(&a, &b.narrow(0, 0, 1).unwrap(), 1.0).is_err());
    assert!(add_channels(&a, &normal(1, &[2, 3])).is_err());
    let none = a.narrow(0, 0, 0).unwrap();
    assert_eq!(add_scaled(&none, &none, 1.0).unwrap().dims(), [0, 2, 5, 7]);
    assert_eq!(add_channels(&none, &normal(1, &[0, 2])).unwrap().dims(), [0, 2, 5, 7]);
    assert_eq!(silu(&none).unwrap().dims(), [0, 2, 5, 7]);
}
