//! The generator's loss, per sample.

use candle_core::{Result, Tensor};
use divergence::{
    Method, RatioMonitor, RatioState, RatioWeights, SurrogateInputs, constant_weights, surrogate,
};
use models::generator::generate;

use super::{
    DenoisedPair, DenoiserErrors, Inputs, LogRatioEstimate, Noised, StepNetworks, adversarial,
    log_ratio, regression,
};

/// The parts of the generator's loss, each `[B]`, and statistics of the ratio.
#[derive(Debug)]
pub struct GeneratorTerms {
    /// The method's surrogate, whose gradient is the objective's (docs/theory.md, "The loss").
    pub surrogate: Tensor,
    /// Weighted adversarial term, if the method has one.
    pub adversarial: Option<Tensor>,
    /// Weighted regression term, if the method has one.
    pub regression: Option<Tensor>,
    /// Root mean square of the gap between the denoisers, `[B]`: a distance of student and teacher.
    pub gap: Tensor,
    /// Squared errors of the denoisers on the samples.
    pub errors: DenoiserErrors,
    /// The log-ratio, if the method's weights depend on it.
    pub log_ratio: Option<LogRatioEstimate>,
    /// Its statistics.
    pub monitor: Option<RatioMonitor>,
}

impl GeneratorTerms {
    /// Sum of all parts, `[B]`.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn total(&self) -> Result<Tensor> {
        let mut total = self.surrogate.clone();
        for part in [&self.adversarial, &self.regression].into_iter().flatten() {
            total = (total + part)?;
        }
        Ok(total)
    }
}

/// Runs the forward pass of the generator's step.
///
/// Back-propagate the mean of [`GeneratorTerms::total`] with [`models::backward`]. `ratio` is
/// updated; clone it first if the step may be discarded.
///
/// # Errors
///
/// If a network fails, or the method needs a ratio or pairs that are missing.
pub fn generator_terms(
    networks: &StepNetworks<'_>,
    method: &Method,
    inputs: &Inputs,
    pairs: Option<&regression::RegressionPairs>,
    ratio: &mut RatioState,
) -> Result<GeneratorTerms> {
    let x0 = generate(networks.generator, &inputs.z, method.sigma_init, &inputs.cond)?;
    let noised = Noised::new(x0, &inputs.sigma, &inputs.noise)?;
    let denoised = DenoisedPair::at(&noised, networks, &inputs.cond, method)?;

    let log_ratio = log_ratio::estimate(method, networks, &noised, &denoised, inputs)?;
    let (weights, monitor) = weights(method, log_ratio.as_ref(), &noised, ratio)?;

    let surrogate = surrogate(
        method,
        &SurrogateInputs {
            x0: &noised.x0,
            x: &noised.x,
            sigma: &noised.sigma,
            teacher: &denoised.teacher,
            fake: &denoised.fake,
        },
        &weights,
    )?;
    let elements = noised.x0.elem_count() / noised.x0.dim(0)?.max(1);
    let adversarial = match (&method.adversarial, &denoised.log_ratio) {
        (Some(term), Some(log_ratio)) => {
            Some(adversarial::generator_term(term, log_ratio, elements)?)
        }
        _ => None,
    };
    let regression = match &method.regression {
        Some(term) => Some(regression::term(term, networks.generator, pairs, method.sigma_init)?),
        None => None,
    };
    let gap = (denoised.fake.detach() - denoised.teacher.detach())?;
    let gap = gap.sqr()?.flatten_from(1)?.mean(1)?.sqrt()?;
    let errors = DenoiserErrors::new(&denoised.teacher, &denoised.fake, &noised.x0)?;
    Ok(GeneratorTerms { surrogate, adversarial, regression, gap, errors, log_ratio, monitor })
}

fn weights(
    method: &Method,
    log_ratio: Option<&LogRatioEstimate>,
    noised: &Noised,
    ratio: &mut RatioState,
) -> Result<(RatioWeights, Option<RatioMonitor>)> {
    match log_ratio {
        Some(LogRatioEstimate { values, .. }) => {
            // Real and fake batches have the same size, so the prior odds are even.
            let (weights, monitor) = ratio.weights(method, values, &noised.sigma, 0.0)?;
            Ok((weights, Some(monitor)))
        }
        None => {
            let x = &noised.x;
            Ok((constant_weights(x.dim(0)?, x.device(), x.dtype())?, None))
        }
    }
}
