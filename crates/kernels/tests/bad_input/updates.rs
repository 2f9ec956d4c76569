//! Adam and the moving average, which write in place.

use candle_core::{DType, Device, Result, Tensor, Var};
use uni_instruct_kernels::adam::{AdamConfig, step};
use uni_instruct_kernels::ema_update;

use crate::misfits::first_line;
use crate::run::{assert_close, assert_same, normal, numbers, with_each_kernels};

/// Zero, one, and lengths next to the lengths of vectors and tasks.
const LENGTHS: [usize; 8] = [0, 1, 7, 15, 17, 33, 16_383, 16_385];

const CONFIG: AdamConfig =
    AdamConfig { learning_rate: 0.1, beta1: 0.8, beta2: 0.9, eps: 1e-3, weight_decay: 0.01 };

/// Parameter, first and second moment.
struct State([Var; 3]);

impl State {
    fn new(shape: &[usize], dtype: DType) -> Self {
        let tensors = [normal(1, shape), normal(2, shape), normal(3, shape).sqr().unwrap()];
        Self(tensors.map(|it| Var::from_tensor(&it.to_dtype(dtype).unwrap()).unwrap()))
    }

    fn step(&self, grad: &Tensor) -> Result<()> {
        let [param, m, v] = &self.0;
        step(&CONFIG, 3, param, m, v, grad)
    }

    fn copies(&self) -> Vec<Tensor> {
        self.0.iter().map(|it| it.as_detached_tensor().copy().unwrap()).collect()
    }
}

#[test]
fn kernels_agree_with_the_composed_form_at_every_length() {
    for length in LENGTHS {
        let gradient = normal(4, &[length]);
        let exact = State::new(&[length], DType::F64);
        exact.step(&gradient.to_dtype(DType::F64).unwrap()).unwrap();
        with_each_kernels(|kernels| {
            let state = State::new(&[length], DType::F32);
            state.step(&gradient).unwrap();
            for (got, expected) in state.0.iter().zip(&exact.0) {
                assert_close(&format!("{length}, {kernels:?}"), 1e-6, got, expected);
            }
        });
    }
}

#[test]
fn a_gradient_may_be_a_view() {
    let shape = [5, 7];
    let views = [
        normal(4, &[7, 5]).t().unwrap(),
        normal(4, &[9, 7]).narrow(0, 2, 5).unwrap(),
        normal(4, &[5, 9]).narrow(1, 1, 7).unwrap(),
        normal(4, &[1, 7]).broadcast_as(&shape).unwrap(),
    ];
    with_each_kernels(|_| {
        for view in &views {
            let [viewed, copied] = [(); 2].map(|()| State::new(&shape, DType::F32));
            viewed.step(view).unwrap();
            copied.step(&view.force_contiguous().unwrap()).unwrap();
            for (got, expected) in viewed.0.iter().zip(&copied.0) {
                assert_same("adam", got, expected);
            }
            let [viewed, copied] = [(); 2].map(|()| Var::from_tensor(&normal(1, &shape)).unwrap());
            ema_update(&viewed, view, 0.9).unwrap();
            ema_update(&copied, &view.force_contiguous().unwrap(), 0.9).unwrap();
            assert_same("average", &viewed, &copied);
        }
    });
}

#[test]
fn non_finite_elements_do_not_spread() {
    const AT: usize = 11;
    let clean = normal(4, &[40]);
    let check = |dtype| {
        for value in [f32::NAN, f32::INFINITY] {
            let mut spoilt = clean.to_vec1::<f32>().unwrap();
            spoilt[AT] = value;
            let spoilt = Tensor::new(spoilt, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let [got, expected] = [(); 2].map(|()| State::new(&[40], dtype));
            got.step(&spoilt).unwrap();
            expected.step(&clean.to_dtype(dtype).unwrap()).unwrap();
            for (got, expected) in got.0.iter().zip(&expected.0) {
                let (got, expected) = (numbers(got), numbers(expected));
                let differ = |i: &usize| got[*i].to_bits() != expected[*i].to_bits();
                assert_eq!((0..40).filter(differ).collect::<Vec<_>>(), [AT], "{value}");
                assert!(!got[AT].is_finite());
            }
        }
    };
    check(DType::F64);
    with_each_kernels(|_| check(DType::F32));
}

#[test]
fn invalid_calls_change_nothing() {
    let state = State::new(&[6], DType::F32);
    let before = state.copies();
    let [param, m, v] = &state.0;
    let fine = normal(4, &[6]);
    let double = fine.to_dtype(DType::F64).unwrap();
    let double_moment = Var::from_tensor(&double).unwrap();
    let short = Var::from_tensor(&normal(4, &[5])).unwrap();
    let bad = |config: AdamConfig| step(&config, 1, param, m, v, &fine);
    let average = |beta| ema_update(param, &fine, beta);
    #[rustfmt::skip]
    let table: Vec<(&str, Result<()>)> = vec![
        ("from 1", step(&CONFIG, 0, param, m, v, &fine)),
        ("grad [5]", step(&CONFIG, 1, param, m, v, &normal(4, &[5]))),
        ("grad [6, 1]", step(&CONFIG, 1, param, m, v, &normal(4, &[6, 1]))),
        ("m [5]", step(&CONFIG, 1, param, &short, v, &fine)),
        ("v [5]", step(&CONFIG, 1, param, m, &short, &fine)),
        ("grad is F64", step(&CONFIG, 1, param, m, v, &double)),
        ("m is F64", step(&CONFIG, 1, param, &double_moment, v, &fine)),
        ("v is F64", step(&CONFIG, 1, param, m, &double_moment, &fine)),
        ("m and param", step(&CONFIG, 1, param, param, v, &fine)),
        ("v and param", step(&CONFIG, 1, param, m, param, &fine)),
        ("v and m", step(&CONFIG, 1, param, m, m, &fine)),
        ("grad and m", step(&CONFIG, 1, param, m, v, m)),
        ("learning_rate", bad(AdamConfig { learning_rate: f64::NAN, ..CONFIG })),
        ("beta1", bad(AdamConfig { beta1: 1.0, ..CONFIG })),
        ("beta2", bad(AdamConfig { beta2: -0.1, ..CONFIG })),
        ("eps", bad(AdamConfig { eps: -1.0, ..CONFIG })),
        ("weight_decay", bad(AdamConfig { weight_decay: f64::INFINITY, ..CONFIG })),
        ("beta 1.5", average(1.5)),
        ("beta NaN", average(f64::NAN)),
        ("[5]", ema_update(param, &normal(4, &[5]), 0.9)),
        ("F64", ema_update(param, &double, 0.9)),
        ("ema and param share", ema_update(param, param, 0.9)),
    ];
    for (expected, outcome) in table {
        let message = first_line(&outcome.expect_err(expected));
        assert!(message.contains(expected), "{expected}: {message}");
    }
    for (now, before) in state.0.iter().zip(&before) {
        assert_same("a rejected update", now, before);
    }
}
