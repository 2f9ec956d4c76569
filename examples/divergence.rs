//! From a discriminator's logits to the weights of a divergence, and to a gradient.
//!
//! Usage: `divergence [NAME]`, for example `divergence jensen-shannon` or `divergence '0.4*forward-kl+0.6*reverse-kl'`.

use candle_core::{Device, Tensor, Var};
use divergence::{
    Divergence, Method, Objective, RatioState, SurrogateInputs, Weighting, surrogate,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "forward-kl".into());
    let divergence: Divergence = name.parse()?;

    // 1. In f64, without tensors: the weight h(l) and its logarithmic derivatives.
    let profile = divergence.profile();
    println!("{name}\n\n{:>8} {:>10} {:>10} {:>10}", "l", "h(l)", "kappa1", "kappa2");
    for l in [-2.0, -1.0, 0.0, 1.0, 2.0] {
        let (h, kappa1, kappa2) = (profile.eval(l), profile.kappa1(l), profile.kappa2(l));
        println!("{l:>8.1} {h:>10.4} {kappa1:>10.4} {kappa2:>10.4}");
    }

    // 2. On a batch of logits l = ln(teacher/student): normalized weights of the samples.
    let device = Device::Cpu;
    let (objective, weighting) = (Objective::Integral, Weighting::Uniform);
    let method = Method { divergence, objective, weighting, ..Method::default() };
    let logits = Tensor::new(&[-1.0f64, 0.0, 1.0], &device)?;
    let sigma = Tensor::new(&[0.5f64, 0.5, 0.5], &device)?;
    let (weights, monitor) = RatioState::default().weights(&method, &logits, &sigma, 0.0)?;
    println!("\nweights of the logits -1, 0, 1: {:.4?}", weights.weight.to_vec1::<f64>()?);
    println!("effective share of the batch: {:.3}", monitor.effective_share);

    // 3. The gradient with respect to the generator's samples. The denoisers are constants here: the
    //    teacher pulls to 0, and the fake score to each sample.
    let x0 = Var::new(&[[0.5f64], [1.0], [2.0]], &device)?;
    let teacher = x0.zeros_like()?;
    let fake = x0.as_detached_tensor();
    let inputs = SurrogateInputs { x0: &x0, x: &x0, sigma: &sigma, teacher: &teacher, fake: &fake };
    let loss = surrogate(&method, &inputs, &weights)?.mean_all()?;
    let gradient = loss.backward()?.get(&x0).ok_or("no gradient")?.flatten_all()?;
    println!("gradient with respect to x0 = 0.5, 1, 2: {:.4?}", gradient.to_vec1::<f64>()?);
    Ok(())
}
