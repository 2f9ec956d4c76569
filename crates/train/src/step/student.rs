//! Samples of the student: outputs of a generator of one step or of several.

use candle_core::{Result, Tensor};
use divergence::Method;
use models::{
    Conditioning, Denoiser,
    generator::{StepSchedule, generate},
};

/// The random part of the steps: for each sample the step whose output it is.
///
/// Empty for a generator of one step.
#[derive(Clone, Debug, Default)]
pub struct StepInputs {
    /// Steps, `[B]`, counted from 0, uniform.
    pub step: Vec<usize>,
    /// Standard normal noise `[B, ...]` before each step but the first.
    pub noise: Vec<Tensor>,
}

/// Noise levels of the generator's steps.
pub(crate) fn schedule(method: &Method) -> StepSchedule {
    StepSchedule { sigma_init: method.sigma_init, steps: method.steps.get() as usize }
}

/// Samples of a uniform mixture of the outputs of all steps, from latents `z`.
///
/// `last` is called for the step of each sample, `earlier` for the steps before it. Give a tracked and a
/// frozen view of the generator to train each step on its own, on inputs that are constants.
///
/// # Errors
///
/// If a network fails.
pub fn student_samples(
    last: &dyn Denoiser,
    earlier: &dyn Denoiser,
    schedule: StepSchedule,
    z: &Tensor,
    steps: &StepInputs,
    cond: &Conditioning,
) -> Result<Tensor> {
    if schedule.steps == 1 {
        return generate(last, z, schedule.sigma_init, cond);
    }
    let batch = z.dim(0)?;
    let row = |tensor: &Tensor, i: usize| tensor.narrow(0, i, 1);
    let labels = |rows: &[usize]| -> Result<Conditioning> {
        let labels = cond.labels.as_ref().map(|labels| {
            Tensor::cat(&rows.iter().map(|&i| row(labels, i)).collect::<Result<Vec<_>>>()?, 0)
        });
        Ok(Conditioning::labels(labels.transpose()?))
    };
    let scaled = (z * schedule.sigma_init)?;
    let mut inputs = (0..batch).map(|i| row(&scaled, i)).collect::<Result<Vec<_>>>()?;
    for (step, noise) in steps.noise.iter().enumerate() {
        let rows: Vec<usize> = (0..batch).filter(|&i| step < steps.step[i]).collect();
        if rows.is_empty() {
            break;
        }
        let x = Tensor::cat(&rows.iter().map(|&i| &inputs[i]).collect::<Vec<_>>(), 0)?;
        let level = levels(&vec![schedule.sigma(step); rows.len()], &x)?;
        let x = earlier.denoise(&x, &level, &labels(&rows)?)?.detach();
        for (at, &i) in rows.iter().enumerate() {
            inputs[i] = (row(&x, at)? + (row(noise, i)? * schedule.sigma(step + 1))?)?;
        }
    }
    let own: Vec<f64> = steps.step.iter().map(|&step| schedule.sigma(step)).collect();
    last.denoise(&Tensor::cat(&inputs, 0)?, &levels(&own, z)?, cond)
}

/// Noise levels `[B]`, of the type and on the device of a tensor.
fn levels(levels: &[f64], like: &Tensor) -> Result<Tensor> {
    kernels::from_host(levels, like)
}
