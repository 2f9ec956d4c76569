//! Preconditionings and schedules against their defining formulas, in f64.

use candle_core::{DType, Device, Result, Tensor};

use super::precond::{Precond, Preconditioner};
use super::schedule::{RHO, karras_sigma, karras_sigmas};

const SIGMAS: [f64; 5] = [0.002, 0.1, 0.5, 3.0, 80.0];

#[track_caller]
fn assert_close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-12 * (1.0 + want.abs()), "{got} and {want}");
}

fn coefficients(kind: Precond, sigma_data: f64) -> Result<[Vec<f64>; 4]> {
    let sigma = Tensor::new(&SIGMAS, &Device::Cpu)?;
    let c = Preconditioner::new(kind, sigma_data).coefficients(&sigma)?;
    let [skip, out, input, noise] = [c.c_skip, c.c_out, c.c_in, c.c_noise].map(|c| c.to_vec1());
    Ok([skip?, out?, input?, noise?])
}

/// Unit variance of the input and of what the raw network has to say, for data of any scale.
#[test]
fn edm_coefficients_keep_unit_variance() -> Result<()> {
    for data in [0.25, 0.5, 1.3] {
        let [skip, out, input, noise] = coefficients(Precond::Edm {}, data)?;
        for (i, sigma) in SIGMAS.into_iter().enumerate() {
            let variance = data * data + sigma * sigma;
            assert_close(input[i] * input[i] * variance, 1.0);
            // x₀ − c_skip x = (1 − c_skip) x₀ − c_skip σ n, of deviation c_out.
            let rest = (1.0 - skip[i]) * data;
            assert_close(rest * rest + (skip[i] * sigma).powi(2), out[i] * out[i]);
            assert_close(skip[i], data * data / variance);
            assert_close(noise[i], sigma.ln() / 4.0);
        }
    }
    Ok(())
}

#[test]
fn vp_times_invert_the_vp_schedule() -> Result<()> {
    let [_, out, input, noise] = coefficients(Precond::vp(), 0.5)?;
    for (i, sigma) in SIGMAS.into_iter().enumerate() {
        let t = noise[i] / 999.0;
        assert_close((0.5 * 19.9 * t * t + 0.1 * t).exp_m1().sqrt(), sigma);
        assert_close(out[i], -sigma);
        assert_close(input[i], (1.0 + sigma * sigma).sqrt().recip());
    }
    let [low, high] = Precond::vp().sigma_range();
    assert!(9e-4 < low && low < 1.1e-3 && 150.0 < high && high < 155.0, "{low}, {high}");
    Ok(())
}

#[test]
fn iddpm_rounds_to_the_nearest_level_of_its_table() -> Result<()> {
    let precond = Preconditioner::new(Precond::iddpm(), 0.5);
    let table = Precond::iddpm().table();
    assert_eq!(table.len(), 1001);
    assert!(table.windows(2).all(|pair| pair[1] < pair[0]) && table[1000] == 0.0);
    let nearest = |sigma: f64| {
        let order = |a: &f64, b: &f64| (a - sigma).abs().total_cmp(&(b - sigma).abs());
        table.iter().copied().min_by(order).unwrap()
    };
    for sigma in [0.0, 1e-5, 0.0123, 0.7, 1.0, 33.3, 2000.0, 1e6] {
        assert_eq!(precond.round_sigma(sigma), nearest(sigma), "{sigma}");
    }
    let levels = [table[0], table[1], table[500], table[999]];
    let sigma = Tensor::new(&levels, &Device::Cpu)?;
    let noise = precond.coefficients(&sigma)?.c_noise;
    assert_eq!(noise.to_vec1::<f64>()?, [999.0, 998.0, 499.0, 0.0]);
    assert_eq!(Precond::iddpm().sigma_range(), [table[999], table[0]]);
    assert_eq!(Precond::iddpm().out_channels(3), 6);
    // Other kinds know every level.
    assert_eq!(Preconditioner::new(Precond::default(), 0.5).round_sigma(0.0123), 0.0123);
    Ok(())
}

#[test]
fn ve_is_conditioned_on_half_the_noise_level() -> Result<()> {
    let [skip, out, input, noise] = coefficients(Precond::Ve {}, 0.5)?;
    for (i, sigma) in SIGMAS.into_iter().enumerate() {
        assert_eq!([skip[i], input[i], out[i]], [1.0, 1.0, sigma]);
        assert_close(noise[i], (sigma / 2.0).ln());
    }
    Ok(())
}

#[test]
fn coefficients_keep_the_precision_of_sigma() -> Result<()> {
    for kind in [Precond::Edm {}, Precond::vp(), Precond::Ve {}, Precond::iddpm()] {
        for dtype in [DType::F32, DType::F64] {
            let sigma = Tensor::new(&SIGMAS, &Device::Cpu)?.to_dtype(dtype)?;
            let c = Preconditioner::new(kind, 0.5).coefficients(&sigma)?;
            for tensor in [c.c_skip, c.c_out, c.c_in, c.c_noise] {
                assert_eq!((tensor.dtype(), tensor.dims()), (dtype, &[5][..]));
            }
        }
    }
    Ok(())
}

#[test]
fn karras_levels_are_even_in_the_root() {
    let sigmas = karras_sigmas(18, 0.002, 80.0, RHO);
    assert_eq!(sigmas.len(), 18);
    assert_close(sigmas[0], 80.0);
    assert_close(sigmas[17], 0.002);
    let roots: Vec<f64> = sigmas.iter().map(|sigma| sigma.powf(1.0 / 7.0)).collect();
    for pair in roots.windows(2) {
        assert_close(pair[0] - pair[1], (roots[0] - roots[17]) / 17.0);
    }
    assert_close(karras_sigma(0.0, 0.1, 2.0, 3.0), 2.0);
    assert_close(karras_sigma(0.5, 1.0, 8.0, 3.0), 3.375);
    assert!(karras_sigmas(0, 0.1, 2.0, 3.0).is_empty());
    assert_eq!(karras_sigmas(1, 0.1, 2.0, 3.0).len(), 1);
    assert_close(karras_sigmas(1, 0.1, 2.0, 3.0)[0], 2.0);
}
