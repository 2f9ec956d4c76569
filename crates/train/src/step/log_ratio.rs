//! The log-ratio that the weights of a batch are computed from.

use candle_core::{Result, Tensor};
use divergence::{CalibrationFeatures, Method, PathConfig, RatioEstimator, RatioState};
use kernels::{from_host, to_host};
use models::{
    Conditioning, Denoiser, LogRatio,
    path_ratio::{PathRatio, PathSettings, calibration_features},
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
    state: &RatioState,
) -> Result<Option<LogRatioEstimate>> {
    if !method.needs_ratio() {
        return Ok(None);
    }
    let batch = noised.x.dim(0)?;
    let like = &noised.sigma;
    let path = PathPoints {
        teacher: networks.teacher,
        fake: networks.fake,
        x: &noised.x,
        sigma: &noised.sigma,
        cond: &inputs.cond,
        seed: inputs.seed,
        position: inputs.position,
        update: inputs.update,
    };
    let config = &method.ratio.path;
    Ok(Some(match (method.ratio.estimator, &denoised.log_ratio) {
        (RatioEstimator::Path, _) => path.estimate(config)?,
        (RatioEstimator::Permuted, _) => permuted(path.estimate(config)?)?,
        (RatioEstimator::PathCalibrated, _) => {
            let estimate = path.estimate(config)?;
            calibrated(method, state, noised, denoised, estimate)?
        }
        (RatioEstimator::Discriminator | RatioEstimator::Regressed, Some(logits)) => {
            LogRatioEstimate { values: logits.detach(), estimated: vec![true; batch] }
        }
        _ => LogRatioEstimate { values: like.zeros_like()?, estimated: vec![false; batch] },
    }))
}

/// Points at which path integrals are evaluated.
pub(crate) struct PathPoints<'a> {
    /// Denoiser of the teacher.
    pub teacher: &'a dyn Denoiser,
    /// Denoiser of the student's distribution.
    pub fake: &'a dyn Denoiser,
    /// Noised samples `[B, ...]`.
    pub x: &'a Tensor,
    /// Their noise levels `[B]`.
    pub sigma: &'a Tensor,
    /// Conditioning of both denoisers.
    pub cond: &'a Conditioning,
    /// Seed of the noise along the path.
    pub seed: u64,
    /// Position of the first sample in the streams of that noise.
    pub position: u64,
    /// Number of the update.
    pub update: u64,
}

impl PathPoints<'_> {
    /// The path integrals, where the configuration says that they run.
    ///
    /// # Errors
    ///
    /// If a network fails.
    pub(crate) fn estimate(&self, config: &PathConfig) -> Result<LogRatioEstimate> {
        let levels = to_host(self.sigma)?;
        let runs = self.update.is_multiple_of(config.every.into());
        let estimated: Vec<bool> = levels.iter().map(|&it| runs && config.runs_at(it)).collect();
        let rows: Vec<usize> = (0..levels.len()).filter(|&row| estimated[row]).collect();
        if rows.is_empty() {
            return Ok(LogRatioEstimate { values: self.sigma.zeros_like()?, estimated });
        }
        let ratio = PathRatio {
            teacher: self.teacher,
            student: self.fake,
            settings: PathSettings {
                strata: config.strata as usize,
                antithetic: config.antithetic,
                sigma_max: config.end,
            },
            seed: self.seed,
            position: self.position,
        };
        let (x, sigma) = (select(self.x, &rows)?, select(self.sigma, &rows)?);
        let labels = self.cond.labels.as_ref().map(|labels| select(labels, &rows)).transpose()?;
        let found = to_host(&ratio.log_ratio(&x, &sigma, &Conditioning::labels(labels))?)?;
        let mut values = vec![0.0; levels.len()];
        for (row, found) in rows.into_iter().zip(found) {
            values[row] = found;
        }
        Ok(LogRatioEstimate { values: from_host(&values, self.sigma)?, estimated })
    }

    /// Features of the calibration, of each sample that an estimate ran for: its noise level and features.
    ///
    /// # Errors
    ///
    /// If a network fails.
    pub(crate) fn features(
        &self,
        estimate: &LogRatioEstimate,
    ) -> Result<Vec<(f64, CalibrationFeatures)>> {
        if !estimate.estimated.contains(&true) {
            return Ok(Vec::new());
        }
        let x = self.x.detach();
        let labels = Conditioning::labels(self.cond.labels.clone());
        let teacher = self.teacher.denoise(&x, self.sigma, &labels)?;
        let fake = self.fake.denoise(&x, self.sigma, &labels)?;
        let found = calibration_features(&x, self.sigma, [&teacher, &fake], &estimate.values)?;
        let levels = to_host(self.sigma)?;
        let rows = levels.into_iter().zip(found).zip(&estimate.estimated);
        Ok(rows.filter(|(_, ran)| **ran).map(|(row, _)| row).collect())
    }
}

/// Calibrates path integrals by the running regression.
fn calibrated(
    method: &Method,
    state: &RatioState,
    noised: &Noised,
    denoised: &DenoisedPair,
    path: LogRatioEstimate,
) -> Result<LogRatioEstimate> {
    let pair = [&denoised.teacher, &denoised.fake];
    let features = calibration_features(&noised.x, &noised.sigma, pair, &path.values)?;
    let levels = to_host(&noised.sigma)?;
    let rows = levels.into_iter().zip(&features).zip(&path.estimated);
    let values: Vec<f64> = rows
        .map(
            |((sigma, features), ran)| {
                if *ran { state.calibrated(method, sigma, features) } else { 0.0 }
            },
        )
        .collect();
    Ok(LogRatioEstimate { values: from_host(&values, &noised.sigma)?, ..path })
}

fn select(tensor: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let row = |&row: &usize| tensor.detach().narrow(0, row, 1);
    Tensor::cat(&rows.iter().map(row).collect::<Result<Vec<_>>>()?, 0)
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
