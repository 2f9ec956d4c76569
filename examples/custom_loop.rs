//! Your own training loop: a one-step generator `x₀ = mean + std · z`, its loss from
//! `divergence::surrogate`, and Adam by hand.
//!
//! The teacher is a mixture of two Gaussians at ±1. Student and teacher are known in closed form, so
//! forward KL must match the moments of the mixture.
//!
//! Usage: `custom_loop [DIVERGENCE] [UPDATES]`, for example `custom_loop reverse-kl 1000`.

use candle_core::{DType, Device, Result, Tensor, Var};
use divergence::{Method, Objective, RatioConfig, RatioState, SurrogateInputs, Weighting, surrogate};
use kernels::noise::NoiseStream;

/// Variance of each mode.
const VARIANCE: f64 = 0.1;
const BATCH: usize = 512;

/// Denoiser `E[x₀ | x]` and log-density of the teacher, `[B, 1]`, given `variance` = v + σ².
fn teacher(x: &Tensor, variance: &Tensor) -> Result<[Tensor; 2]> {
    let a = (x / variance)?;
    let shrink = variance.recip()?.affine(VARIANCE, 0.0)?;
    let denoised = ((x * &shrink)? + (a.tanh()? * shrink.affine(-1.0, 1.0)?)?)?;
    let log_cosh = (a.abs()? + ((a.abs()? * -2.0)?.exp()? + 1.0)?.affine(0.5, 0.0)?.log()?)?;
    let log_density = (log_cosh + gaussian(&(x.sqr()? + 1.0)?, variance)?)?;
    Ok([denoised, log_density])
}

/// Log-density of a Gaussian, from the squared distance to its mean.
fn gaussian(squared: &Tensor, variance: &Tensor) -> Result<Tensor> {
    ((squared / variance)? + (variance * std::f64::consts::TAU)?.log()?)? * -0.5
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let method = Method {
        objective: Objective::Integral,
        divergence: args.next().as_deref().unwrap_or("forward-kl").parse()?,
        weighting: Weighting::Uniform,
        ratio: RatioConfig { clamp: f64::INFINITY, bins: 0, ..RatioConfig::default() },
        ..Method::default()
    };
    let updates: u64 = args.next().as_deref().unwrap_or("1500").parse()?;
    let cpu = Device::Cpu;
    let [mean, std] = [0.5, 0.5].map(|start: f64| Var::new(&[start], &cpu));
    let params = [mean?, std?];
    let mut squares = [0.0; 2];
    let mut ratio = RatioState::default();
    for update in 0..updates {
        let position = update * BATCH as u64;
        let normal = |stream| -> Result<Tensor> {
            NoiseStream::new(1, stream).normal_tensor(position, (BATCH, 1), &cpu)?.to_dtype(DType::F64)
        };
        // The generator's sample and its noised version, at levels ln σ ~ N(-1, 1).
        let x0 = normal(0)?.broadcast_mul(&params[1])?.broadcast_add(&params[0])?;
        let sigma = (normal(1)? - 1.0)?.exp()?;
        let x = (&x0 + (&sigma * normal(2)?)?)?;
        // Both denoisers at x, and ln(teacher/student).
        let variance = sigma.sqr()?;
        let [denoised, log_teacher] = teacher(&x, &(&variance + VARIANCE)?)?;
        let own = params[1].detach().sqr()?;
        let noised = variance.broadcast_add(&own)?;
        let distance = x.broadcast_sub(&params[0].detach())?;
        let fake = (&x - ((&variance / &noised)? * &distance)?)?;
        let log_ratio = (log_teacher - gaussian(&distance.sqr()?, &noised)?)?.squeeze(1)?.detach();
        let sigma = sigma.squeeze(1)?;
        let (weights, _) = ratio.weights(&method, &log_ratio, &sigma, 0.0)?;
        let inputs =
            SurrogateInputs { x0: &x0, x: &x, sigma: &sigma, teacher: &denoised, fake: &fake };
        let grads = surrogate(&method, &inputs, &weights)?.mean_all()?.backward()?;
        // Adam without first moment.
        let rate = 0.02 / (1.0 + update as f64 / 100.0).sqrt();
        for (param, square) in params.iter().zip(&mut squares) {
            let grad = grads.get(param).ok_or("no gradient")?;
            *square = 0.99 * *square + 0.01 * grad.sqr()?.to_vec1::<f64>()?[0];
            let unbiased = *square / (1.0 - 0.99f64.powi(update as i32 + 1));
            param.set(&(param.as_tensor() - (grad * (rate / (unbiased.sqrt() + 1e-12)))?)?)?;
        }
    }
    let [mean, std] = params.map(|it| it.to_vec1::<f64>());
    println!("student: mean {:.3}, standard deviation {:.3}", mean?[0], std?[0]);
    println!("teacher: mean 0.000, standard deviation {:.3}", (1.0 + VARIANCE).sqrt());
    Ok(())
}
