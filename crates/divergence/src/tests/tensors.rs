//! Profiles on tensors against profiles in `f64`, and their behavior far out.

use candle_core::{DType, Device, Tensor, Var};

use super::{assert_close, family};

fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn tensors_and_numbers_agree() {
    let l: Vec<f64> = (-60..=60).map(|i| 0.25 * f64::from(i)).collect();
    for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-14)] {
        let tensor = Tensor::new(l.as_slice(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        for d in family() {
            let h = d.profile();
            let (kappa1, kappa2) = h.kappas(&tensor).unwrap();
            let log = h.log_weight(&tensor).unwrap();
            assert_eq!((log.dtype(), kappa1.dtype(), kappa2.dtype()), (dtype, dtype, dtype));
            for (i, &l) in l.iter().enumerate() {
                assert_close(values(&log)[i], h.log_eval(l), tolerance);
                assert_close(values(&kappa1)[i], h.kappa1(l), tolerance);
                assert_close(values(&kappa2)[i], h.kappa2(l), tolerance);
            }
        }
    }
}

#[test]
fn log_ratios_of_ten_thousand_are_finite_in_f32() {
    let l = [-1e4f32, -1e3, -100.0, -0.0, 0.0, 100.0, 1e3, 1e4];
    let tensor = Tensor::new(&l, &Device::Cpu).unwrap();
    for d in family() {
        let h = d.profile();
        let (kappa1, kappa2) = h.kappas(&tensor).unwrap();
        let log = h.log_weight(&tensor).unwrap();
        for (i, &l) in l.iter().enumerate() {
            for (got, want) in [
                (values(&log)[i], h.log_eval(f64::from(l))),
                (values(&kappa1)[i], h.kappa1(f64::from(l))),
                (values(&kappa2)[i], h.kappa2(f64::from(l))),
            ] {
                assert_close(got, want, 2e-6);
            }
        }
    }
}

/// `d(ln h)/dl = -κ₁` under autodiff, at 0 too, and finite far out.
#[test]
fn log_weights_are_differentiable() {
    let l = [-1e4, -3.0, 0.0, 0.5, 40.0, 1e4];
    for d in family() {
        let h = d.profile();
        let var = Var::new(&l, &Device::Cpu).unwrap();
        let grads = h.log_weight(&var).unwrap().sum_all().unwrap().backward().unwrap();
        // Candle leaves out gradients that are zero by construction: reverse KL has none.
        let zeros = var.zeros_like().unwrap();
        for (got, l) in values(grads.get(&var).unwrap_or(&zeros)).into_iter().zip(l) {
            assert_close(got, -h.kappa1(l), 1e-14);
        }
    }
}
