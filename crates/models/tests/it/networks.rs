//! Outputs and gradients of every architecture and preconditioning against the reference.

use candle_core::{DType, Var};
use uni_instruct_models::{Conditioning, Denoiser};

use crate::golden::{Golden, error, under};

/// Each covers what the others do not: conditioning, resampling, embedding, preconditioning.
pub const FILES: [&str; 6] = [
    "edm-ddpmpp-cond-augment",
    "edm-ncsnpp-uncond",
    "edm-adm-cond",
    "vp-ddpmpp-uncond",
    "ve-ncsnpp-uncond",
    "iddpm-ddpmpp-cond",
];

/// Of outputs and input gradients, relative to the reference's largest magnitude.
const TOLERANCE: f64 = 1e-4;
/// Of parameter gradients, likewise.
const TOLERANCE_GRAD: f64 = 1e-3;

#[test]
fn outputs_and_gradients_match_the_reference() {
    for name in FILES {
        let golden = Golden::load(name);
        let x = Var::from_tensor(&golden.get("io.x")).unwrap();
        let network = golden.network();
        let denoised =
            network.denoise(&x, &golden.get("io.sigma"), &golden.conditioning()).unwrap();
        let loss = (&denoised * golden.get("io.grad_out")).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let out = error(&denoised, &golden.get("io.denoised"));
        let input = error(grads.get(&x).unwrap(), &golden.get("io.grad_x"));
        let expected = under(&golden.file, "grad.");
        assert!(!expected.is_empty());
        for (key, want) in &expected {
            let error = error(grads.get(&golden.params.vars()[key]).unwrap(), want);
            assert!(error <= TOLERANCE_GRAD, "{name}, {key}: {error:.1e}");
        }
        assert!(out <= TOLERANCE && input <= TOLERANCE, "{name}: {out:.1e}, {input:.1e}");
    }
}

#[test]
fn every_variable_has_a_gradient_and_frozen_views_none() {
    for name in FILES {
        let golden = Golden::load(name);
        let (sigma, cond) = (golden.get("io.sigma"), golden.conditioning());
        let x = Var::from_tensor(&golden.get("io.x")).unwrap();
        let weigh = |params| {
            let network = golden.config.build(&params).unwrap();
            let out = network.denoise(&x, &sigma, &cond).unwrap();
            (out * golden.get("io.grad_out")).unwrap().sum_all().unwrap().backward().unwrap()
        };
        let (trained, frozen) = (weigh(golden.params.trainable()), weigh(golden.params.frozen()));
        for (key, var) in golden.params.vars() {
            let grad = trained.get(var).unwrap_or_else(|| panic!("{name}: none for {key}"));
            let size = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(0.0 < size && size.is_finite(), "{name}, {key}: {size}");
            assert!(frozen.get(var).is_none(), "{name}: {key} is frozen");
        }
        let difference = error(frozen.get(&x).unwrap(), trained.get(&x).unwrap());
        assert!(difference <= 1e-6, "{name}: {difference:.1e}");
    }
}

/// The same code in f64 agrees with f32 to f32's precision, and depends on nothing of f32.
#[test]
fn networks_run_in_double_precision() {
    for name in FILES {
        let golden = Golden::load(name);
        let params = golden.params.to_dtype(DType::F64).unwrap();
        let network = golden.config.build(&params.frozen()).unwrap();
        let double = |key| golden.get(key).to_dtype(DType::F64).unwrap();
        let out =
            network.denoise(&double("io.x"), &double("io.sigma"), &golden.conditioning()).unwrap();
        assert_eq!(out.dtype(), DType::F64);
        let error = error(&out, &golden.get("io.denoised"));
        assert!(error <= TOLERANCE, "{name}: {error:.1e}");
    }
}

#[test]
fn the_bottleneck_matches_the_denoising_pass() {
    for name in FILES {
        let golden = Golden::load(name);
        let network = golden.network();
        let (x, sigma, cond) = (golden.get("io.x"), golden.get("io.sigma"), golden.conditioning());
        let both = network.denoise_and_encode(&x, &sigma, &cond).unwrap();
        let alone = network.encode(&x, &sigma, &cond).unwrap();
        let expected = if name == "edm-adm-cond" { [3, 64, 8, 8] } else { [3, 32, 8, 8] };
        assert_eq!(alone.dims(), expected);
        assert_eq!(error(&alone, &both.features), 0.0);
        assert!(error(&both.x0, &golden.get("io.denoised")) <= TOLERANCE);
    }
}

#[test]
fn rejects_mismatched_conditioning() {
    let golden = Golden::load("edm-ddpmpp-cond-augment");
    let network = golden.network();
    let (x, sigma) = (golden.get("io.x"), golden.get("io.sigma"));
    let message = |cond| network.denoise(&x, &sigma, &cond).unwrap_err().to_string();
    assert!(message(Conditioning::default()).contains("no labels"));
    let narrow = golden.get("io.class_labels").narrow(1, 0, 4).unwrap();
    assert!(message(Conditioning::labels(Some(narrow))).contains("[3, 10]"));
    let short = Conditioning { augment: Some(sigma.clone()), ..golden.conditioning() };
    assert!(message(short).contains("[3, 9]"));

    let golden = Golden::load("edm-ncsnpp-uncond");
    let network = golden.network();
    let labeled = Conditioning::labels(Some(golden.get("io.x")));
    let error = network.denoise(&x, &sigma, &labeled).unwrap_err().to_string();
    assert!(error.contains("unconditional"), "{error}");
    let small = x.narrow(2, 0, 8).unwrap();
    let error = network.denoise(&small, &sigma, &Conditioning::default()).unwrap_err();
    assert!(error.to_string().contains("[B, 3, 16, 16]"), "{error}");
    let error = network.denoise(&x, &x, &Conditioning::default()).unwrap_err();
    assert!(error.to_string().contains("expected [3]"), "{error}");
}
