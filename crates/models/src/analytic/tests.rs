//! Closed forms against scalar formulas, autodiff and each other, in f64.

use candle_core::{DType, Device, Result, Tensor, Var};

use divergence::mixture::{Component, GaussianMixture};

use super::*;
use crate::denoiser::Denoiser;
use kernels::noise::NoiseStream;

/// The teacher of docs/theory.md, "Fixed points": weight, mean, variance.
const TEACHER: [(f64, f64, f64); 3] = [(0.35, -1.92, 0.35), (0.25, 0.48, 0.25), (0.40, 2.40, 0.45)];

fn teacher() -> MixtureDenoiser {
    MixtureDenoiser::new(GaussianMixture::on_line(&TEACHER).unwrap()).unwrap()
}

fn mixture(components: Vec<Component>) -> MixtureDenoiser {
    MixtureDenoiser::new(GaussianMixture::new(components).unwrap()).unwrap()
}

fn component(weight: f64, mean: &[f64], covariance: &[f64]) -> Component {
    Component { weight, mean: mean.to_vec(), covariance: covariance.to_vec() }
}

fn plane() -> MixtureDenoiser {
    mixture(vec![
        component(2.0, &[-1.0, 0.5], &[0.5, 0.3, 0.3, 0.4]),
        Component::isotropic(1.0, vec![1.5, -0.25], 0.2),
        // All its mass on a line.
        component(1.0, &[0.0, 1.0], &[1.0, -1.0, -1.0, 1.0]),
    ])
}

fn points(shape: &[usize]) -> Result<(Tensor, Tensor)> {
    let noise = NoiseStream::new(3, 0);
    let x = (noise.normal_tensor(0, shape, &Device::Cpu)?.to_dtype(DType::F64)? * 1.5)?;
    let sigma = (0..shape[0]).map(|i| 0.05 * 1.7f64.powi(i as i32)).collect::<Vec<_>>();
    Ok((x, Tensor::new(sigma, &Device::Cpu)?))
}

#[track_caller]
fn assert_close(got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.dims(), want.dims());
    let peak = |it: &Tensor| {
        let numbers = it.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        numbers.into_iter().map(f64::abs).fold(0.0, |a: f64, b| if b <= a { a } else { b })
    };
    let error = peak(&(got - want).unwrap()) / (1.0 + peak(want));
    assert!(error <= tolerance, "{error:.1e} over {tolerance:.0e}");
}

#[test]
fn mixture_on_a_line_matches_the_scalar_formula() -> Result<()> {
    let (x, sigma) = points(&[8, 1])?;
    let density = |x: f64, sigma: f64| -> [f64; 2] {
        let mut sums = [0.0; 2];
        for (w, m, v) in TEACHER {
            let noised = v + sigma * sigma;
            let p = w * (-(x - m) * (x - m) / (2.0 * noised)).exp()
                / (std::f64::consts::TAU * noised).sqrt();
            sums = [sums[0] + p, sums[1] + p * (m + v / noised * (x - m))];
        }
        [sums[0].ln(), sums[1] / sums[0]]
    };
    let numbers = x.flatten_all()?.to_vec1::<f64>()?;
    let rows: Vec<_> = numbers.iter().zip(sigma.to_vec1()?).map(|(&x, s)| density(x, s)).collect();
    let column =
        |i: usize| Tensor::new(rows.iter().map(|it| it[i]).collect::<Vec<_>>(), &Device::Cpu);
    assert_close(&teacher().log_density(&x, &sigma)?, &column(0)?, 1e-14);
    let denoised = teacher().denoise(&x, &sigma, &Conditioning::default())?;
    assert_close(&denoised, &column(1)?.unsqueeze(1)?, 1e-14);
    Ok(())
}

/// Tweedie's formula and `∇ₓ l = (D_p − D_q)/σ²`, for any distributions.
#[test]
fn scores_are_gradients_of_log_densities() -> Result<()> {
    let generator = AffineGenerator::init(&[0.3, -0.2], &[0.8, -1.1], DType::F64).unwrap();
    let student = AffineDenoiser::build(&generator.frozen(), 2).unwrap();
    let (x, sigma) = points(&[8, 2])?;
    let x = Var::from_tensor(&x)?;
    let plane = plane();
    let grad = |value: Tensor| -> Result<Tensor> {
        Ok(value.sum_all()?.backward()?.get(&x).expect("x is a variable").clone())
    };
    assert_close(&grad(plane.log_density(&x, &sigma)?)?, &plane.score(&x, &sigma)?, 1e-12);

    let cond = Conditioning::default();
    let variance = sigma.sqr()?.unsqueeze(1)?;
    let gap = (plane.denoise(&x, &sigma, &cond)? - student.denoise(&x, &sigma, &cond)?)?;
    let ratio = DensityRatio { teacher: &plane, student: student.clone() };
    let got = grad(ratio.log_ratio(&x, &sigma, &cond)?)?;
    assert_close(&got, &gap.broadcast_div(&variance)?, 1e-12);
    Ok(())
}

/// The denoiser's own gradient, `Cov[x₀ | x] / σ²`: what a surrogate's backward pass uses.
#[test]
fn denoiser_gradients_match_finite_differences() -> Result<()> {
    const STEP: f64 = 1e-5;
    let (x, sigma) = points(&[6, 2])?;
    let cond = Conditioning::default();
    let var = Var::from_tensor(&x)?;
    let plane = plane();
    let weigh = |x: &Tensor| plane.denoise(x, &sigma, &cond)?.sqr()?.sum(1);
    let grads = weigh(&var)?.sum_all()?.backward()?;
    let mut columns = Vec::new();
    for direction in [[STEP, 0.0], [0.0, STEP]] {
        let step = Tensor::new(&[direction], &Device::Cpu)?;
        let difference = (weigh(&x.broadcast_add(&step)?)? - weigh(&x.broadcast_sub(&step)?)?)?;
        columns.push((difference / (2.0 * STEP))?);
    }
    let want = Tensor::stack(&columns, 1)?;
    assert_close(grads.get(&var).expect("x is a variable"), &want, 1e-7);
    Ok(())
}

#[test]
fn affine_denoiser_equals_a_mixture_of_one() -> Result<()> {
    let (mu, s) = ([0.3, -0.2], [0.8, -1.1]);
    let params = AffineGenerator::init(&mu, &s, DType::F64).unwrap();
    let student = AffineDenoiser::build(&params.frozen(), 2).unwrap();
    let mixture = mixture(vec![component(1.0, &mu, &[s[0] * s[0], 0.0, 0.0, s[1] * s[1]])]);
    // Samples of any shape do, as images have.
    let (x, sigma) = points(&[8, 1, 2, 1])?;
    let cond = Conditioning::default();
    let denoised = student.denoise(&x, &sigma, &cond)?;
    assert_close(&denoised, &mixture.denoise(&x, &sigma, &cond)?, 1e-14);
    assert_close(&student.log_density(&x, &sigma)?, &mixture.log_density(&x, &sigma)?, 1e-14);
    Ok(())
}

#[test]
fn rotating_a_mixture_rotates_its_points() -> Result<()> {
    let (sin, cos) = 0.7f64.sin_cos();
    let [a, b] = [2.0, 0.1];
    let turned = [
        cos * cos * a + sin * sin * b,
        cos * sin * (a - b),
        cos * sin * (a - b),
        sin * sin * a + cos * cos * b,
    ];
    let straight = mixture(vec![component(1.0, &[0.0; 2], &[a, 0.0, 0.0, b])]);
    let turned = mixture(vec![component(1.0, &[0.0; 2], &turned)]);
    let (x, sigma) = points(&[8, 2])?;
    let back = Tensor::new(&[[cos, -sin], [sin, cos]], &Device::Cpu)?;
    let want = straight.log_density(&x.matmul(&back)?, &sigma)?;
    assert_close(&turned.log_density(&x, &sigma)?, &want, 1e-13);
    Ok(())
}

#[test]
fn generator_is_called_like_a_network_and_its_denoiser_follows() -> Result<()> {
    let params = AffineGenerator::init(&[0.5], &[2.0], DType::F64).unwrap();
    let generator = AffineGenerator::build(&params.trainable(), 1).unwrap();
    let student = AffineDenoiser::build(&params.frozen(), 1).unwrap();
    let z = Tensor::new(&[[1.0], [-0.25]], &Device::Cpu)?;
    let x0 = crate::generator::generate(&generator, &z, 2.5, &Conditioning::default())?;
    assert_close(&x0, &Tensor::new(&[[2.5], [0.0]], &Device::Cpu)?, 1e-15);

    let sigma = Tensor::new(&[1.0, 1.0], &Device::Cpu)?;
    let cond = Conditioning::default();
    let grads = (student.denoise(&x0, &sigma, &cond)? + &x0)?.sum_all()?.backward()?;
    // dx₀/dμ = 1 and dx₀/ds = z directly, plus s²/(s² + σ²) = 4/5 of them through the frozen denoiser.
    let grad = |key: &str| grads.get(&params.vars()[key]).expect("trained").to_vec1::<f64>();
    assert!((grad("mu")?[0] - 2.0 * 1.8).abs() < 1e-12);
    assert!((grad("s")?[0] - 0.75 * 1.8).abs() < 1e-12);

    params.vars()["mu"].set(&Tensor::new(&[-3.0], &Device::Cpu)?)?;
    let at_mean =
        student.denoise(&Tensor::new(&[[-3.0]], &Device::Cpu)?, &sigma.narrow(0, 0, 1)?, &cond)?;
    assert_eq!(at_mean.to_vec2::<f64>()?, [[-3.0]]);
    Ok(())
}

#[test]
fn rejects_a_negative_variance_and_misfits() {
    let indefinite = GaussianMixture::new(vec![component(1.0, &[0.0; 2], &[1.0, 2.0, 2.0, 1.0])]);
    let error = MixtureDenoiser::new(indefinite.unwrap()).unwrap_err().to_string();
    assert!(error.contains("component 0: its covariance has eigenvalues"), "{error}");
    let (x, sigma) = points(&[3, 2]).unwrap();
    let error = teacher().log_density(&x, &sigma).unwrap_err().to_string();
    assert!(error.contains("with 1 elements"), "{error}");
    let labeled = Conditioning::labels(Some(sigma.clone()));
    let error = plane().denoise(&x, &sigma, &labeled).unwrap_err().to_string();
    assert!(error.contains("unconditional"), "{error}");
}

/// The tensor code against the `f64` code of the same mixture.
#[test]
fn tensors_and_the_scalar_mixture_agree() -> Result<()> {
    let (x, sigma) = points(&[8, 2])?;
    let mixture = mixture(plane().mixture().components()[..2].to_vec());
    let log_density = mixture.log_density(&x, &sigma)?.to_vec1::<f64>()?;
    let denoised = mixture.denoise(&x, &sigma, &Conditioning::default())?.to_vec2::<f64>()?;
    for (i, (x, sigma)) in x.to_vec2::<f64>()?.iter().zip(sigma.to_vec1()?).enumerate() {
        let noised = mixture.mixture().at(sigma).unwrap();
        assert!((noised.log_density(x) - log_density[i]).abs() < 1e-10, "{sigma}");
        for (want, got) in noised.denoised(x).iter().zip(&denoised[i]) {
            assert!((want - got).abs() < 1e-10, "{sigma}: {want} {got}");
        }
    }
    Ok(())
}
