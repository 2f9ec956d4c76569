//! The log-ratio that the weights of a batch are computed from.

use candle_core::{Result, Tensor};
use divergence::{Method, PathConfig, RatioEstimator};
use kernels::{from_host, to_host};
use models::{
    Conditioning, LogRatio,
    path_ratio::{PathRatio, PathSettings},
};

use super::{DenoisedPair, Inputs, Noised, StepNetworks};

/// Estimates of ln(teacher/student) for a batch.
#[derive(Clone, Debug)]
pub struct LogRatioEstimate {
    /// The estimates, `[B]`, without gradient; 0 where the estimator did not run.
    pub values: Tensor,
    /// Samples that the estimator ran for.
    pub estimated: Vec<bool>,
}

/// Estimates the log-ratio of a batch with the method's estimator; `None` if its weights do not depend
/// on it.
///
/// # Errors
///
/// If a network fails.
pub(super) fn estimate(
    method: &Method,
    networks: &StepNetworks<'_>,
    noised: &Noised,
    denoised: &DenoisedPair,
    inputs: &Inputs,
) -> Result<Option<LogRatioEstimate>> {
    if !method.needs_ratio() {
        return Ok(None);
    }
    let batch = noised.x.dim(0)?;
    let like = &noised.sigma;
    Ok(Some(match (method.ratio.estimator, &denoised.log_ratio) {
        (RatioEstimator::Path, _) => path(&method.ratio.path, networks, noised, inputs)?,
        (RatioEstimator::Permuted, _) => {
            permuted(path(&method.ratio.path, networks, noised, inputs)?)?
        }
        (RatioEstimator::Discriminator, Some(logits)) => {
            LogRatioEstimate { values: logits.detach(), estimated: vec![true; batch] }
        }
        _ => LogRatioEstimate { values: like.zeros_like()?, estimated: vec![false; batch] },
    }))
}

/// The path integral over teacher and fake score, where the configuration says that it runs.
fn path(
    config: &PathConfig,
    networks: &StepNetworks<'_>,
    noised: &Noised,
    inputs: &Inputs,
) -> Result<LogRatioEstimate> {
    let levels = to_host(&noised.sigma)?;
    let runs = inputs.update.is_multiple_of(config.every.into());
    let estimated: Vec<bool> = levels.iter().map(|&it| runs && config.runs_at(it)).collect();
    let rows: Vec<usize> = (0..levels.len()).filter(|&row| estimated[row]).collect();
    if rows.is_empty() {
        return Ok(LogRatioEstimate { values: noised.sigma.zeros_like()?, estimated });
    }
    let select = |tensor: &Tensor| {
        let row = |&row: &usize| tensor.detach().narrow(0, row, 1);
        Tensor::cat(&rows.iter().map(row).collect::<Result<Vec<_>>>()?, 0)
    };
    let labels = inputs.cond.labels.as_ref().map(select).transpose()?;
    let ratio = PathRatio {
        teacher: networks.teacher,
        student: networks.fake,
        settings: PathSettings {
            strata: config.strata as usize,
            antithetic: config.antithetic,
            sigma_max: config.end,
        },
        seed: inputs.seed,
        position: inputs.position,
    };
    let (x, sigma) = (select(&noised.x)?, select(&noised.sigma)?);
    let found = to_host(&ratio.log_ratio(&x, &sigma, &Conditioning::labels(labels))?)?;
    let mut values = vec![0.0; levels.len()];
    for (row, found) in rows.into_iter().zip(found) {
        values[row] = found;
    }
    Ok(LogRatioEstimate { values: from_host(&values, &noised.sigma)?, estimated })
}

/// Gives each sample the estimate of the next one, among those that have one. The samples of a batch
/// are independent, so any permutation without fixed points removes the relation to the sample.
fn permuted(estimate: LogRatioEstimate) -> Result<LogRatioEstimate> {
    let LogRatioEstimate { values, estimated } = estimate;
    let mut host = to_host(&values)?;
    let rows: Vec<usize> = (0..host.len()).filter(|&row| estimated[row]).collect();
    let mut own: Vec<f64> = rows.iter().map(|&row| host[row]).collect();
    if !own.is_empty() {
        own.rotate_left(1);
    }
    for (row, value) in rows.into_iter().zip(own) {
        host[row] = value;
    }
    Ok(LogRatioEstimate { values: from_host(&host, &values)?, estimated })
}
