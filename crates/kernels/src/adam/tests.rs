//! The kernels against the composed form, and both against the formulas in f64.

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::testing::{error, normal};

const CONFIG: AdamConfig =
    AdamConfig { learning_rate: 0.02, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1 };

type Step = fn(u64, &Var, &Var, &Var, &Tensor) -> Result<()>;

/// Parameter and moments after six updates.
fn trajectory(dtype: DType, shape: &[usize], step: Step) -> [Tensor; 3] {
    let var = |tensor: Tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap();
    let param = var(normal(1, shape));
    let [m, v] = [(); 2].map(|()| var(normal(2, shape).zeros_like().unwrap()));
    for t in 1..=6 {
        step(t, &param, &m, &v, &normal(10 + t, shape).to_dtype(dtype).unwrap()).unwrap();
    }
    [param, m, v].map(|it| it.as_detached_tensor())
}

#[test]
fn every_form_follows_the_composed_one_in_f64() {
    let fused: Step = |t, param, m, v, grad| fused(Isa::detect(), &CONFIG, t, param, m, v, grad);
    let portable: Step = |t, param, m, v, grad| fused_portable(t, param, m, v, grad);
    let composed: Step = |t, param, m, v, grad| composed(&CONFIG, t, param, m, v, grad);
    let public: Step = |t, param, m, v, grad| step(&CONFIG, t, param, m, v, grad);
    for shape in [&[3, 5, 7][..], &[20_001], &[1]] {
        let expected = trajectory(DType::F64, shape, composed);
        for form in [fused, portable, composed, public] {
            let got = trajectory(DType::F32, shape, form);
            for (got, expected) in got.iter().zip(&expected) {
                assert!(error(got, expected) < 1e-6);
            }
        }
    }
}

fn fused_portable(t: u64, param: &Var, m: &Var, v: &Var, grad: &Tensor) -> Result<()> {
    fused(Isa::Portable, &CONFIG, t, param, m, v, grad)
}

/// One element by hand, according to the algorithm of the paper.
#[test]
fn composed_form_matches_the_paper() {
    let var = |it: f64| Var::from_tensor(&Tensor::new(&[it], &Device::Cpu).unwrap()).unwrap();
    let (param, m, v) = (var(0.5), var(0.0), var(0.0));
    let (mut theta, mut first, mut second) = (0.5, 0.0, 0.0);
    for (t, g) in [(1, 0.3f64), (2, -1.2), (3, 0.7)] {
        let grad = Tensor::new(&[g], &Device::Cpu).unwrap();
        step(&CONFIG, t, &param, &m, &v, &grad).unwrap();
        first = 0.9 * first + 0.1 * g;
        second = 0.99 * second + 0.01 * g * g;
        let unbiased = first / (1.0 - 0.9f64.powi(t as i32));
        let root = (second / (1.0 - 0.99f64.powi(t as i32))).sqrt();
        theta -= 0.02 * (unbiased / (root + 1e-8) + 0.1 * theta);
        let got = param.to_vec1::<f64>().unwrap()[0];
        assert!((got - theta).abs() < 1e-14, "{got} {theta}");
    }
}

#[test]
fn first_update_moves_by_the_learning_rate() {
    let one = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
    let [param, m, v] = [(); 3].map(|()| Var::from_tensor(&one.zeros_like().unwrap()).unwrap());
    let config = AdamConfig { weight_decay: 0.0, ..CONFIG };
    step(&config, 1, &param, &m, &v, &(&one * 1e-3).unwrap()).unwrap();
    for moved in param.to_vec1::<f32>().unwrap() {
        assert!((moved + 0.02).abs() < 1e-6, "{moved}");
    }
}

#[test]
fn views_follow_and_gradients_can_be_views() {
    let [param, m, v] =
        [1, 2, 3].map(|seed| Var::from_tensor(&normal(seed, &[4, 6]).abs().unwrap()).unwrap());
    let view = param.as_detached_tensor();
    let before = view.copy().unwrap();
    let grad = normal(4, &[6, 4]).t().unwrap();
    let copies = [&param, &m, &v].map(|it| Var::from_tensor(&it.copy().unwrap()).unwrap());
    step(&CONFIG, 3, &param, &m, &v, &grad).unwrap();
    assert!(1e-3 < error(&view, &before), "a detached view shows the update");
    let [param_copy, m_copy, v_copy] = copies;
    step(&CONFIG, 3, &param_copy, &m_copy, &v_copy, &grad.contiguous().unwrap()).unwrap();
    assert_eq!(error(&param, &param_copy), 0.0);
}

#[test]
fn bits_do_not_depend_on_threads() {
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let public: Step = |t, param, m, v, grad| step(&CONFIG, t, param, m, v, grad);
        pool.install(|| trajectory(DType::F32, &[50_001], public)).map(|it| {
            it.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        })
    };
    assert!(bits(1) == bits(2) && bits(1) == bits(3));
}

#[test]
fn average_moves_toward_the_parameter() {
    for dtype in [DType::F32, DType::F64] {
        let [old, new] = [1, 2].map(|seed| normal(seed, &[3, 7]).to_dtype(dtype).unwrap());
        let ema = Var::from_tensor(&old).unwrap();
        ema_update(&ema, &new, 0.9).unwrap();
        let expected = ((&old * 0.9).unwrap() + (&new * 0.1).unwrap()).unwrap();
        assert!(error(&ema, &expected) < 1e-6);
    }
}

#[test]
fn invalid_calls_change_nothing() {
    let [param, m, v] = [(); 3].map(|()| Var::from_tensor(&normal(1, &[4])).unwrap());
    let before = param.copy().unwrap();
    assert!(step(&CONFIG, 0, &param, &m, &v, &normal(2, &[4])).is_err());
    let message = step(&CONFIG, 1, &param, &m, &v, &normal(2, &[5])).unwrap_err().to_string();
    assert!(message.contains("grad"), "{message}");
    assert!(ema_update(&param, &normal(2, &[5]), 0.9).is_err());
    assert_eq!(error(&param, &before), 0.0);
}
