//! The generator's loss, per sample.

use candle_core::{Result, Tensor};
use divergence::{
    Method, RatioMonitor, RatioState, RatioWeights, SurrogateInputs, constant_weights, surrogate,
};
use models::Conditioning;

use super::{
    DenoisedPair, DenoiserErrors, FrechetInputs, Inputs, LogRatioEstimate, Noised, StepNetworks,
    adversarial, features, log_ratio, regression,
    student::{schedule, student_samples},
};

/// Inputs of the auxiliary terms that a method may have.
#[derive(Clone, Copy, Default)]
pub struct AuxiliaryInputs<'a> {
    /// The teacher's own pairs, for a regression.
    pub pairs: Option<&'a regression::RegressionPairs>,
    /// Features, for a Fréchet distance.
    pub frechet: Option<FrechetInputs<'a>>,
}

/// The parts of the generator's loss, each `[B]`, and statistics of the ratio.
#[derive(Debug)]
pub struct GeneratorTerms {
    /// The method's surrogate, whose gradient is the objective's (docs/theory.md, "The loss").
    pub surrogate: Tensor,
    /// Weighted adversarial term, if the method has one.
    pub adversarial: Option<Tensor>,
    /// Weighted regression term, if the method has one.
    pub regression: Option<Tensor>,
    /// Weighted Fréchet distance, if the method has one.
    pub frechet: Option<Tensor>,
    /// Weighted reward, if the method has one.
    pub reward: Option<Tensor>,
    /// Features of the samples, `[B, D]`, without gradient, if a term needs them.
    pub features: Option<Tensor>,
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
        for (_, part) in self.auxiliary() {
            total = (total + part)?;
        }
        Ok(total)
    }

    /// The auxiliary terms that the method has, with the names of their statistics.
    pub fn auxiliary(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        [
            ("Loss/adversarial", &self.adversarial),
            ("Loss/regression", &self.regression),
            ("Loss/frechet", &self.frechet),
            ("Loss/reward", &self.reward),
        ]
        .into_iter()
        .filter_map(|(name, part)| Some((name, part.as_ref()?)))
    }
}

/// Runs the forward pass of the generator's step.
///
/// Back-propagate the mean of [`GeneratorTerms::total`] with [`models::backward`]. `ratio` is
/// updated; clone it first if the step may be discarded.
///
/// # Errors
///
/// If a network fails, or the method needs a ratio, pairs or features that are missing.
pub fn generator_terms(
    networks: &StepNetworks<'_>,
    method: &Method,
    inputs: &Inputs,
    auxiliary: AuxiliaryInputs<'_>,
    ratio: &mut RatioState,
) -> Result<GeneratorTerms> {
    let (generator, earlier) = (networks.generator, networks.frozen_generator);
    let Inputs { z, steps, cond, .. } = inputs;
    let x0 = student_samples(generator, earlier, schedule(method), z, steps, cond)?;
    let noised = Noised::new(x0, &inputs.sigma, &inputs.noise)?;
    let denoised = DenoisedPair::at(&noised, networks, &inputs.cond, method)?;

    let log_ratio = log_ratio::estimate(method, networks, &noised, &denoised, inputs, ratio)?;
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
        Some(term) => Some(regression::term(term, generator, auxiliary.pairs, method.sigma_init)?),
        None => None,
    };
    let (found, frechet, reward) = feature_terms(networks, method, &noised.x0, cond, auxiliary)?;
    let gap = (denoised.fake.detach() - denoised.teacher.detach())?;
    let gap = gap.sqr()?.flatten_from(1)?.mean(1)?.sqrt()?;
    let errors = DenoiserErrors::new(&denoised.teacher, &denoised.fake, &noised.x0)?;
    Ok(GeneratorTerms {
        surrogate,
        adversarial,
        regression,
        frechet,
        reward,
        features: found,
        gap,
        errors,
        log_ratio,
        monitor,
    })
}

/// Features of the samples, and the terms that the method has of them.
fn feature_terms(
    networks: &StepNetworks<'_>,
    method: &Method,
    x0: &Tensor,
    cond: &Conditioning,
    auxiliary: AuxiliaryInputs<'_>,
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    if method.frechet.is_none() && method.reward.is_none() {
        return Ok((None, None, None));
    }
    let Some(network) = networks.features else {
        candle_core::bail!(
            "the method has a term of features, but the run has no feature network; give one"
        );
    };
    let found = network.features(x0)?;
    let frechet = match (&method.frechet, auxiliary.frechet) {
        (Some(term), Some(inputs)) => Some(features::frechet_term(term, &found, inputs)?),
        (Some(_), None) => candle_core::bail!(
            "the method has a Fréchet distance, but the run has no features of real images"
        ),
        (None, _) => None,
    };
    let reward = match &method.reward {
        Some(term) => Some(features::reward_term(term, &network.logits(&found)?, cond)?),
        None => None,
    };
    Ok((Some(found.detach()), frechet, reward))
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
