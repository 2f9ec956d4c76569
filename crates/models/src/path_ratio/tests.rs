//! The estimate against the log-ratio of distributions in closed form.

use candle_core::{DType, Device};
use divergence::mixture::{Component, GaussianMixture};
use kernels::noise::NoiseStream;

use super::*;
use crate::analytic::{DensityRatio, MixtureDenoiser};

fn mixture(weights: &[f64], means: &[Vec<f64>], variance: f64) -> MixtureDenoiser {
    let components = weights
        .iter()
        .zip(means)
        .map(|(&weight, mean)| Component::isotropic(weight, mean.clone(), variance))
        .collect();
    MixtureDenoiser::new(GaussianMixture::new(components).unwrap()).unwrap()
}

/// Teacher and student of `testdata/path_ratio`, in 32 dimensions: the student all but lacks a mode.
fn pair() -> [MixtureDenoiser; 2] {
    let text = include_str!("../../../../testdata/path_ratio/mixtures.json");
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    ["teacher", "student"].map(|name| {
        let part = &json[name];
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect()
        };
        let means: Vec<Vec<f64>> = part["means"].as_array().unwrap().iter().map(numbers).collect();
        mixture(&numbers(&part["weights"]), &means, part["variance"].as_f64().unwrap())
    })
}

/// Teacher and student in the plane.
fn plane() -> [MixtureDenoiser; 2] {
    let modes = [vec![-1.2, -1.0], vec![1.1, -0.9], vec![-0.8, 1.3], vec![1.4, 1.2]];
    let other = [vec![-1.0, -0.8], vec![1.3, -1.0], vec![-0.9, 1.0], vec![1.2, 1.3]];
    [mixture(&[0.4, 0.3, 0.2, 0.1], &modes, 0.09), mixture(&[0.02, 0.38, 0.4, 0.2], &other, 0.12)]
}

/// Samples of a mixture, noised at these levels: `[B, N]` in f64.
fn noised(of: &MixtureDenoiser, levels: &[f64]) -> Result<(Tensor, Tensor)> {
    let (mixture, dim) = (of.mixture(), of.mixture().dim());
    let (choice, own, noise) =
        (NoiseStream::new(8, 0), NoiseStream::new(8, 1), NoiseStream::new(8, 2));
    let mut values = Vec::new();
    for (row, sigma) in levels.iter().enumerate() {
        let position = row as u64;
        let mut left = choice.uniform(position, 0);
        let component = mixture
            .components()
            .iter()
            .find(|it| {
                left -= it.weight;
                left < 0.0
            })
            .unwrap_or(&mixture.components()[0]);
        for i in 0..dim {
            let spread = component.covariance[i * dim + i].sqrt() * own.normal(position, i as u32);
            values.push(component.mean[i] + spread + sigma * noise.normal(position, i as u32));
        }
    }
    let x = Tensor::from_vec(values, (levels.len(), dim), &Device::Cpu)?;
    Ok((x, Tensor::new(levels, &Device::Cpu)?))
}

/// Noise levels of SiD's ramp.
fn ramp(count: usize) -> Vec<f64> {
    let levels =
        divergence::SigmaDistribution::KarrasRamp { min: 0.002, max: 80.0, rho: 7.0, t_max: 0.8 };
    let uniform = NoiseStream::new(9, 0);
    (0..count).map(|i| levels.sigma(uniform.uniform(i as u64, 0))).collect()
}

fn truth([teacher, student]: &[MixtureDenoiser; 2], x: &Tensor, sigma: &Tensor) -> Vec<f64> {
    let ratio = DensityRatio { teacher, student };
    ratio.log_ratio(x, sigma, &Conditioning::default()).unwrap().to_vec1().unwrap()
}

fn estimate(
    [teacher, student]: &[MixtureDenoiser; 2],
    x: &Tensor,
    sigma: &Tensor,
    strata: usize,
    seed: u64,
) -> Result<Vec<f64>> {
    let settings = PathSettings { strata, ..PathSettings::default() };
    let ratio = PathRatio { teacher, student, settings, seed, position: 0 };
    let found = ratio.log_ratio(x, sigma, &Conditioning::default())?;
    assert_eq!((found.dims(), found.dtype()), (&[x.dim(0)?][..], x.dtype()));
    found.to_dtype(DType::F64)?.to_vec1()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product = |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum()
    };
    product(a, ma, b, mb) / (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt()
}

#[test]
fn estimate_is_unbiased_at_every_noise_level() -> Result<()> {
    // Of many estimates of one point each, the mean is the truth within their standard error.
    const TRIALS: usize = 4000;
    for pair in [plane(), pair()] {
        for sigma in [0.01, 0.1, 0.5, 1.0, 3.0, 10.0] {
            let (one, _) = noised(&pair[1], &[sigma])?;
            let x = one.repeat((TRIALS, 1))?;
            let levels = Tensor::full(sigma, TRIALS, &Device::Cpu)?;
            let found = estimate(&pair, &x, &levels, 8, 3)?;
            let mean = found.iter().sum::<f64>() / TRIALS as f64;
            let variance = found.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / TRIALS as f64;
            let error = (variance / TRIALS as f64).sqrt();
            let expected = truth(&pair, &one, &Tensor::new(&[sigma], &Device::Cpu)?)[0];
            let away = (mean - expected).abs();
            // The truncation at both ends of the path costs less than 0.01.
            assert!(
                away < 3.5 * error + 0.01,
                "sigma {sigma}: {mean:.4} ± {error:.4}, expected {expected:.4}"
            );
        }
    }
    Ok(())
}

#[test]
fn correlates_with_the_log_ratio_of_a_student_that_lacks_a_mode() -> Result<()> {
    let pair = pair();
    let (x, sigma) = noised(&pair[1], &ramp(4000))?;
    let expected = truth(&pair, &x, &sigma);
    for (strata, figure) in [(4, 0.76), (8, 0.90), (16, 0.957)] {
        let found = correlation(&estimate(&pair, &x, &sigma, strata, 5)?, &expected);
        assert!((found - figure).abs() < 0.03, "{strata} strata: {found:.3}, expected {figure}");
    }
    Ok(())
}

#[test]
fn correlates_with_the_log_ratio_in_the_plane() -> Result<()> {
    let pair = plane();
    let (x, sigma) = noised(&pair[1], &ramp(4000))?;
    let expected = truth(&pair, &x, &sigma);
    for (strata, least) in [(8, 0.70), (64, 0.93)] {
        let found = correlation(&estimate(&pair, &x, &sigma, strata, 5)?, &expected);
        assert!(least < found, "{strata} strata: {found:.3}");
    }
    Ok(())
}

/// The calibrated estimate of samples of the student, after batches of 32 samples of both distributions.
fn calibrated(
    pair: &[MixtureDenoiser; 2],
    batches: usize,
    strata: usize,
    x: &Tensor,
    sigma: &Tensor,
) -> Result<Vec<f64>> {
    let method = divergence::Method::default();
    let features = |x: &Tensor, sigma: &Tensor, seed| -> Result<_> {
        let path = Tensor::new(estimate(pair, x, sigma, strata, seed)?, &Device::Cpu)?;
        let cond = Conditioning::default();
        let at = |of: &MixtureDenoiser| of.denoise(x, sigma, &cond);
        calibration_features(x, sigma, [&at(&pair[0])?, &at(&pair[1])?], &path)
    };
    let levels = ramp(batches * 32);
    let mut samples = Vec::new();
    for (of, is_real) in pair.iter().zip([true, false]) {
        let (x, sigma) = noised(of, &levels)?;
        let found = features(&x, &sigma, 21 + u64::from(is_real))?;
        samples.push(levels.iter().zip(found).map(move |(&sigma, it)| (sigma, it, is_real)));
    }
    let student: Vec<_> = samples.pop().into_iter().flatten().collect();
    let teacher: Vec<_> = samples.pop().into_iter().flatten().collect();
    let mut state = divergence::RatioState::default();
    for (student, teacher) in student.chunks(32).zip(teacher.chunks(32)) {
        state.calibrate(&method, &[student, teacher].concat());
    }
    let found = features(x, sigma, 5)?;
    let levels = to_host(sigma)?;
    Ok(levels.iter().zip(&found).map(|(&it, row)| state.calibrated(&method, it, row)).collect())
}

#[test]
fn a_calibrated_estimate_is_nearer_to_the_log_ratio() -> Result<()> {
    let pair = pair();
    let (x, sigma) = noised(&pair[1], &ramp(4000))?;
    let expected = truth(&pair, &x, &sigma);
    for (strata, figure) in [(2, 0.78), (4, 0.83), (8, 0.92)] {
        let found = correlation(&calibrated(&pair, 100, strata, &x, &sigma)?, &expected);
        assert!((found - figure).abs() < 0.03, "{strata} strata: {found:.3}, expected {figure}");
    }
    Ok(())
}

#[test]
fn f32_agrees_with_f64() -> Result<()> {
    let pair = pair();
    let (x, sigma) = noised(&pair[1], &ramp(64))?;
    let wide = estimate(&pair, &x, &sigma, 4, 1)?;
    let narrow = estimate(&pair, &x.to_dtype(DType::F32)?, &sigma.to_dtype(DType::F32)?, 4, 1)?;
    for (wide, narrow) in wide.iter().zip(narrow) {
        assert!((wide - narrow).abs() < 2e-3 * (1.0 + wide.abs()), "{wide} {narrow}");
    }
    Ok(())
}

#[test]
fn a_batch_is_the_concatenation_of_its_parts() -> Result<()> {
    let pair = plane();
    let (x, sigma) = noised(&pair[1], &ramp(6))?;
    let whole = estimate(&pair, &x, &sigma, 2, 4)?;
    let [teacher, student] = &pair;
    let settings = PathSettings { strata: 2, ..PathSettings::default() };
    let ratio = PathRatio { teacher, student, settings, seed: 4, position: 4 };
    let part =
        ratio.log_ratio(&x.narrow(0, 4, 2)?, &sigma.narrow(0, 4, 2)?, &Default::default())?;
    assert_eq!(part.to_vec1::<f64>()?, whole[4..]);
    Ok(())
}

#[test]
fn above_the_path_the_ratio_is_zero() -> Result<()> {
    let pair = plane();
    let (x, sigma) = noised(&pair[1], &[80.0, 200.0])?;
    assert_eq!(estimate(&pair, &x, &sigma, 2, 4)?, [0.0, 0.0]);
    Ok(())
}

#[test]
fn rejects_a_path_without_strata_and_other_shapes() -> Result<()> {
    let pair = plane();
    let (x, sigma) = noised(&pair[1], &[0.5, 1.0])?;
    let message =
        |strata, sigma: &Tensor| estimate(&pair, &x, sigma, strata, 4).unwrap_err().to_string();
    assert!(message(0, &sigma).contains("at least one stratum"));
    assert!(message(2, &sigma.narrow(0, 0, 1)?).contains("[B]"));
    Ok(())
}
