//! Your own training loop: a one-step generator `x₀ = mean + std · z`, its loss from
//! `divergence::surrogate`, and Adam by hand.
//!
//! The teacher is a mixture of two Gaussians at ±1. Student and teacher are known in closed form, so
//! forward KL must match the moments of the mixture.
//!
//! Usage: `custom_loop [DIVERGENCE] [UPDATES]`, for example `custom_loop reverse-kl 1000`.

use candle_core::{DType, Device, Result, Tensor, Var};
use divergence::{Method, Objective, RatioState, SurrogateInputs, Weighting, surrogate};
use kernels::noise::NoiseStream;

/// Variance of each mode.
const VARIANCE: f64 = 0.1;
const BATCH: usize = 512;

/// Log-density of a Gaussian at the squared distance `square` from its mean.
fn gaussian(square: &Tensor, variance: &Tensor) -> Result<Tensor> {
    ((square / variance)? + (variance * std::f64::consts::TAU)?.log()?)? * -0.5
}

/// Denoiser `E[x₀ | x]` and log-density of the teacher at noise of the given variance, `[B, 1]`.
fn teacher(x: &Tensor, noise: &Tensor) -> Result<[Tensor; 2]> {
    let variance = (noise + VARIANCE)?;
    let [plus, minus] = [1.0, -1.0].map(|mode| gaussian(&(x - mode)?.sqr()?, &variance));
    let (plus, minus) = (plus?, minus?);
    let mode = ((&plus - &minus)? * 0.5)?.tanh()?;
    let denoised = (((x * VARIANCE)? + (noise * mode)?)? / variance)?;
    let log_sum = (&plus + kernels::softplus(&(minus - &plus)?)?)?;
    Ok([denoised, (log_sum - std::f64::consts::LN_2)?])
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let divergence = args.next().as_deref().unwrap_or("forward-kl").parse()?;
    let updates: u64 = args.next().as_deref().unwrap_or("1500").parse()?;
    let (objective, weighting) = (Objective::Integral, Weighting::Uniform);
    let method = Method { divergence, objective, weighting, ..Method::default() };
    let cpu = Device::Cpu;
    let params @ [mean, std] = &[Var::new(&[0.5], &cpu)?, Var::new(&[0.5], &cpu)?];
    let (mut ratio, mut squares) = (RatioState::default(), [0.0; 2]);
    for update in 0..updates {
        let normal = |stream| -> Result<Tensor> {
            let stream = NoiseStream::new(1, stream);
            let position = update * BATCH as u64;
            stream.normal_tensor(position, (BATCH, 1), &cpu)?.to_dtype(DType::F64)
        };
        // The generator's sample and its noised version, at levels ln σ ~ N(-1, 1).
        let x0 = normal(0)?.broadcast_mul(std)?.broadcast_add(mean)?;
        let sigma = (normal(1)? - 1.0)?.exp()?;
        let x = (&x0 + (&sigma * normal(2)?)?)?;
        // Both denoisers at x, and ln(teacher/student).
        let noise = sigma.sqr()?;
        let [denoised, log_teacher] = teacher(&x, &noise)?;
        let variance = noise.broadcast_add(&std.detach().sqr()?)?;
        let offset = x.broadcast_sub(&mean.detach())?;
        let fake = (&x - ((&noise / &variance)? * &offset)?)?;
        let log_ratio = (log_teacher - gaussian(&offset.sqr()?, &variance)?)?.squeeze(1)?;
        let sigma = sigma.squeeze(1)?;
        let (weights, _) = ratio.weights(&method, &log_ratio.detach(), &sigma, 0.0)?;
        let inputs =
            SurrogateInputs { x0: &x0, x: &x, sigma: &sigma, teacher: &denoised, fake: &fake };
        let grads = surrogate(&method, &inputs, &weights)?.mean_all()?.backward()?;
        // Adam without first moment, its step size falling.
        for (param, square) in params.iter().zip(&mut squares) {
            let grad = grads.get(param).ok_or("a parameter without gradient")?;
            *square = 0.99 * *square + 0.01 * grad.sqr()?.to_vec1::<f64>()?[0];
            let unbiased: f64 = *square / (1.0 - 0.99f64.powi(update as i32 + 1));
            let rate = 0.02 / (1.0 + update as f64 / 100.0).sqrt() / (unbiased.sqrt() + 1e-12);
            param.set(&(param.as_tensor() - (grad * rate)?)?)?;
        }
    }
    let [mean, std] = [mean.to_vec1::<f64>()?[0], std.to_vec1::<f64>()?[0].abs()];
    println!("student: mean {mean:.3}, standard deviation {std:.3}");
    println!("teacher: mean 0.000, standard deviation {:.3}", (1.0 + VARIANCE).sqrt());
    Ok(())
}
