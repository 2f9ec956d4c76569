//! From a discriminator's logits to the weights of the surrogate.
//!
//! # Why weights are clamped and normalized
//!
//! With real = 1 a trained logit is `ln(p/q)` plus the log-odds of the training batches, and forward
//! KL weighs a sample by its exponential. In image dimension those weights degenerate: if
//! `l` is normal with variance `v` under the student, the effective share of a batch is
//! `exp(-v)`. So the log-ratio is clamped, perhaps tempered, and made relative to a running mean within
//! a bin of `ln σ`: either `l` is recalibrated, so that the mean of `eˡ` is 1 as it is for the true
//! ratio, or the weights are divided by their mean, which changes only how much a noise level counts.
//! Dividing by the mean of the batch changes only the scale, which Adam ignores. The relative slopes κ₁
//! and κ₂ are bounded and need nothing.
//!
//! Weights are a few numbers per batch, and their statistics outlive it, so they are computed on the
//! host in `f64`, whatever the device and type of the logits.

use candle_core::{DType, Device, Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use crate::profile::log_sum_exp;
use crate::{Calibration, CalibrationFeatures, Method, SigmaBins};

/// Weights that the surrogate reads from the log-ratio. All `[B]`, without gradient.
#[derive(Clone, Debug)]
pub struct RatioWeights {
    /// `h(l)`, normalized.
    pub weight: Tensor,
    /// `κ₁ = (dh/du)/h` at `l`.
    pub kappa1: Tensor,
    /// `κ₂ = (d²h/du²)/h` at `l`.
    pub kappa2: Tensor,
}

impl RatioWeights {
    /// The same values without gradient.
    pub fn detach(&self) -> Self {
        Self {
            weight: self.weight.detach(),
            kappa1: self.kappa1.detach(),
            kappa2: self.kappa2.detach(),
        }
    }
}

/// The weights of a divergence whose `h` is constant, 1: κ₁ and κ₂ are 0. For methods of which
/// [`Method::needs_ratio`] is false.
///
/// # Errors
///
/// If the device cannot hold them.
pub fn constant_weights(batch: usize, device: &Device, dtype: DType) -> Result<RatioWeights> {
    let zeros = Tensor::zeros(batch, dtype, device)?;
    Ok(RatioWeights { weight: zeros.ones_like()?, kappa1: zeros.clone(), kappa2: zeros })
}

/// Statistics of the log-ratios of a batch of *student* samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RatioMonitor {
    /// `ln mean(eˡ)` before clamping; 0 of a calibrated ratio, since `E_q[ρ] = 1`.
    pub log_mean_ratio: f64,
    /// Mean of `l` before clamping; minus an estimate of `KL(q‖p)`.
    pub mean_log_ratio: f64,
    /// Share of the batch whose log-ratio was clamped.
    pub clamped: f64,
    /// Effective share of the batch, `(Σw)²/(B Σw²)`: 1 if all weigh the same.
    pub effective_share: f64,
    /// Samples whose logit is not finite or whose noise level is not a positive number. Their weights
    /// are NaN, so that the step is not applied.
    pub non_finite: usize,
}

impl RatioMonitor {
    /// `mean(eˡ)` before clamping; 1 of a calibrated ratio. May overflow to infinity.
    pub fn mean_ratio(&self) -> f64 {
        self.log_mean_ratio.exp()
    }
}

/// A running mean over the samples of one bin of `ln σ`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// `ln` of the running mean of `h`, or of `eˡ` if [`crate::RatioConfig::recalibrate`] is set.
    pub log_mean: f64,
    /// Share of the mean's memory that is filled, from 0 (no samples yet) to 1.
    pub fill: f64,
}

/// Running statistics of the weights, a bin for each range of `ln σ`; part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatioState {
    /// In order of σ, over the range of the generator's noise levels.
    pub bins: Vec<Bin>,
    /// Running mean of the weights of all noise levels, for batches too small to have one.
    #[serde(default, skip_serializing_if = "Bin::is_empty")]
    pub overall: Bin,
    /// Calibration of path integrals, in bins as above, if the estimator has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<Calibration>,
}

/// Fewest samples of a batch whose weights are divided by their own mean. Of `B` weights, one that is
/// `e` times the others keeps 1.7 times at 2 samples, 2.2 at 8 and 2.7 at any number.
const FEWEST_TO_NORMALIZE: usize = 8;

impl RatioState {
    /// The weights and statistics of a batch. Updates the bins with it.
    ///
    /// ```text
    /// l = temper · clamp(logit - prior_log_odds - ln(running mean of eˡ in the bin of σ), ±clamp)
    /// w = h(l) / (running mean of h in the bin of σ) / (mean over the batch of the same)
    /// κ₁, κ₂ = temper κ₁(l), temper² κ₂(l)        derivatives of u ↦ h(temper·u); 0 beyond the clamp
    /// ```
    ///
    /// Of the two running means a method has at most one ([`crate::RatioConfig::recalibrate`]). The mean
    /// of `eˡ` is over clamped values, so that one outlier does not move it.
    ///
    /// A state whose number of bins is not the method's starts anew.
    ///
    /// # Shapes
    ///
    /// - `logits`: `[B]`, raw, "real = 1", real meaning teacher; `sigma`: `[B]`, positive
    /// - `prior_log_odds`: `ln(n_real/n_fake)` of the batches the discriminator is trained on
    /// - returns: weights of the type and on the device of `logits`
    ///
    /// # Errors
    ///
    /// If shapes do not agree or the batch is empty.
    pub fn weights(
        &mut self,
        method: &Method,
        logits: &Tensor,
        sigma: &Tensor,
        prior_log_odds: f64,
    ) -> Result<(RatioWeights, RatioMonitor)> {
        let batch = logits.dims1()?;
        if batch == 0 || sigma.dims() != [batch] {
            bail!("ratio: logits are {:?}, sigma is {:?}", logits.shape(), sigma.shape());
        }
        let config = &method.ratio;
        let sigma = to_host(sigma)?;
        // A broken noise level has no bin and no ratio.
        let shifted = |(logit, &sigma): (f64, &f64)| {
            if is_level(sigma) { logit - prior_log_odds } else { f64::NAN }
        };
        let mut raw: Vec<f64> = to_host(logits)?.into_iter().zip(&sigma).map(shifted).collect();
        let bin_of = self.bins_of(method, &sigma);
        if 0 < config.bins && config.recalibrate {
            let clamped: Vec<f64> = raw.iter().map(|&l| clamp(l, config.clamp)).collect();
            self.note(method, &bin_of, &clamped);
            self.subtract_bin_means(&bin_of, &mut raw);
        }
        let log_ratio: Vec<f64> =
            raw.iter().map(|&l| config.temper * clamp(l, config.clamp)).collect();

        let profile = method.divergence.profile();
        let mut log_weight: Vec<f64> = log_ratio.iter().map(|&l| profile.log_eval(l)).collect();
        if 0 < config.bins && !config.recalibrate {
            self.note(method, &bin_of, &log_weight);
            self.subtract_bin_means(&bin_of, &mut log_weight);
        }
        if config.normalize_batch {
            let log_mean = self.log_mean_of_batch(&log_weight, config.bin_decay);
            log_weight.iter_mut().for_each(|it| *it -= log_mean);
        }
        let weight: Vec<f64> = log_weight.iter().map(|it| it.exp()).collect();

        let monitor = RatioMonitor {
            log_mean_ratio: log_mean_exp(&raw),
            mean_log_ratio: raw.iter().sum::<f64>() / batch as f64,
            clamped: raw.iter().filter(|it| config.clamp < it.abs()).count() as f64 / batch as f64,
            effective_share: {
                let (sum, squares) =
                    weight.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
                sum * sum / (batch as f64 * squares)
            },
            non_finite: raw.iter().filter(|it| !it.is_finite()).count(),
        };
        let temper = config.temper;
        // Beyond the clamp the weight is constant.
        let slope = |value: &dyn Fn(f64) -> f64| -> Vec<f64> {
            let at = |(&l, &raw): (&f64, &f64)| {
                if config.clamp < raw.abs() { 0.0 } else { value(l) }
            };
            log_ratio.iter().zip(&raw).map(at).collect()
        };
        let kappa1 = slope(&|l| temper * profile.kappa1(l));
        let kappa2 = slope(&|l| temper * temper * profile.kappa2(l));
        let weights = RatioWeights {
            weight: to_device(weight, logits)?,
            kappa1: to_device(kappa1, logits)?,
            kappa2: to_device(kappa2, logits)?,
        };
        Ok((weights, monitor))
    }

    /// The calibrated log-ratio of a sample ([`crate::RatioEstimator::PathCalibrated`]).
    pub fn calibrated(&self, method: &Method, sigma: f64, features: &CalibrationFeatures) -> f64 {
        let bins = calibration_bins(method);
        match self.calibration.get(bins.index(sigma)) {
            Some(it) if self.calibration.len() == bins.count() => it.log_ratio(features),
            // No samples yet, or bins of another method.
            _ => Calibration::default().log_ratio(features),
        }
    }

    /// Updates the calibration with samples, each with its noise level, its features, and whether it is
    /// real. [`crate::RatioConfig::bin_decay`] is the decay for each sample.
    pub fn calibrate(&mut self, method: &Method, samples: &[(f64, CalibrationFeatures, bool)]) {
        let bins = calibration_bins(method);
        if self.calibration.len() != bins.count() {
            self.calibration = vec![Calibration::default(); bins.count()];
        }
        for (index, calibration) in self.calibration.iter_mut().enumerate() {
            let members = samples.iter().filter(|it| is_level(it.0) && bins.index(it.0) == index);
            let batch: Vec<_> = members.map(|&(_, features, real)| (features, real)).collect();
            calibration.note(&batch, method.ratio.bin_decay);
        }
    }

    /// The bin of each noise level; a state of another number of bins starts anew.
    fn bins_of(&mut self, method: &Method, sigma: &[f64]) -> Vec<usize> {
        let count = method.ratio.bins;
        if self.bins.len() != count {
            self.bins = vec![Bin::default(); count];
        }
        let bins = SigmaBins::new(&method.sigma_law, count);
        sigma.iter().map(|&sigma| bins.index(sigma)).collect()
    }

    /// Updates the bins with the logarithms of a batch's values.
    fn note(&mut self, method: &Method, bin_of: &[usize], log_values: &[f64]) {
        for (index, bin) in self.bins.iter_mut().enumerate() {
            let members = bin_of.iter().zip(log_values).filter(|(at, _)| **at == index);
            let seen: Vec<f64> = members.map(|(_, w)| *w).filter(|it| it.is_finite()).collect();
            if !seen.is_empty() {
                bin.note(&seen, method.ratio.bin_decay);
            }
        }
    }

    fn subtract_bin_means(&self, bin_of: &[usize], log_values: &mut [f64]) {
        for (value, &index) in log_values.iter_mut().zip(bin_of) {
            *value -= self.bins[index].log_mean;
        }
    }

    /// `ln` of the mean of the weights: of the batch, or a running mean that a small batch updates.
    fn log_mean_of_batch(&mut self, log_weight: &[f64], decay: f64) -> f64 {
        if FEWEST_TO_NORMALIZE <= log_weight.len() {
            return log_mean_exp(log_weight);
        }
        // One broken weight breaks its batch, as in a mean over the batch.
        if !log_weight.iter().all(|it| it.is_finite()) {
            return f64::NAN;
        }
        self.overall.note(log_weight, decay);
        self.overall.log_mean
    }
}

impl Bin {
    /// True before the first sample.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Moves the mean toward the mean of new samples: each multiplies the weight of the past by
    /// `decay`. The first samples set the mean.
    fn note(&mut self, log_weights: &[f64], decay: f64) {
        let kept = decay.powf(log_weights.len() as f64);
        let old = self.fill * kept;
        let fill = old + (1.0 - kept);
        let parts = [
            (old / fill).ln() + self.log_mean,
            ((1.0 - kept) / fill).ln() + log_mean_exp(log_weights),
        ];
        *self = Self { log_mean: log_sum_exp(parts.into_iter()), fill };
    }
}

/// Bins of the calibration: the method's, at least one.
fn calibration_bins(method: &Method) -> SigmaBins {
    SigmaBins::new(&method.sigma_law, method.ratio.bins.max(1))
}

/// True for a noise level: a positive number.
fn is_level(sigma: f64) -> bool {
    sigma.is_finite() && 0.0 < sigma
}

/// `l` within `±bound`; NaN if it is not finite, because a broken discriminator must not pass
/// for a confident one.
fn clamp(l: f64, bound: f64) -> f64 {
    if l.is_finite() { l.max(-bound).min(bound) } else { f64::NAN }
}

/// `ln` of the mean of `exp`; NaN if a value is.
fn log_mean_exp(x: &[f64]) -> f64 {
    log_sum_exp(x.iter().copied()) - (x.len() as f64).ln()
}

/// Values of a tensor of one dimension.
pub(crate) fn to_host(x: &Tensor) -> Result<Vec<f64>> {
    x.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1()
}

/// Values as a tensor of one dimension, of the type and on the device of another.
pub(crate) fn to_device(x: Vec<f64>, like: &Tensor) -> Result<Tensor> {
    Tensor::new(x, &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())
}
