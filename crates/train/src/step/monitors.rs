//! Monitors of the estimates, per bin of the noise level: of the fake score and of the log-ratio.
//!
//! They tell whether a run is evidence about its divergence (docs/methods.md, "Monitors").

use candle_core::{Result, Tensor};
use divergence::{Method, SigmaBins};
use kernels::to_host;
use serde::Serialize;

use super::LogRatioEstimate;

/// Number of bins of `ln σ`.
const BINS: usize = 6;

/// Squared errors of the two denoisers on the student's samples, each `[B]`, without gradient.
#[derive(Clone, Debug)]
pub struct DenoiserErrors {
    /// `|D_p − x₀|²`, of the teacher.
    pub teacher: Tensor,
    /// `|D_q − x₀|²`, of the fake score.
    pub fake: Tensor,
    /// `|D_q − D_p|²`.
    pub gap: Tensor,
}

impl DenoiserErrors {
    /// Errors of teacher and fake score at the samples `x0`, all `[B, ...]`.
    ///
    /// # Errors
    ///
    /// If the shapes disagree.
    pub fn new(teacher: &Tensor, fake: &Tensor, x0: &Tensor) -> Result<Self> {
        let (teacher, fake, x0) = (teacher.detach(), fake.detach(), x0.detach());
        let squares = |a: &Tensor, b: &Tensor| (a - b)?.sqr()?.flatten_from(1)?.sum(1);
        Ok(Self {
            teacher: squares(&teacher, &x0)?,
            fake: squares(&fake, &x0)?,
            gap: squares(&fake, &teacher)?,
        })
    }
}

/// Sums over the samples of one bin.
#[derive(Clone, Debug, Default)]
struct Bin {
    samples: u64,
    /// Sums of the squared errors of teacher and fake score, and of the gap.
    errors: [f64; 3],
    /// Log-ratios of samples of the student.
    student: Vec<f64>,
    /// Logits of the discriminator in the fake score's step: on the student's samples, on real images.
    logits: [Vec<f64>; 2],
}

/// Monitors since the last report.
#[derive(Clone, Debug)]
pub struct Monitors {
    bins: SigmaBins,
    sums: Vec<Bin>,
}

/// Monitors of one bin of the noise level.
///
/// With a denoiser that is exact for the student's distribution, `advantage` is 1 (Pythagoras), and 0 if
/// it is no better there than the teacher. With the true log-ratio, `mean_log_ratio` is at most 0,
/// `log_mean_ratio` is 0 and `auc` is above 1/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BinMonitor {
    /// Smallest and largest noise level.
    pub sigma: [f64; 2],
    /// Number of the student's samples in the generator's step.
    pub samples: u64,
    /// `(E|D_p − x₀|² − E|D_q − x₀|²) / E|D_q − D_p|²`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advantage: Option<f64>,
    /// `E_q[l]`, before the clamp: minus an estimate of `KL(q‖p)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_log_ratio: Option<f64>,
    /// Standard deviation of `l` over the student's samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std_log_ratio: Option<f64>,
    /// `ln E_q[eˡ]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_mean_ratio: Option<f64>,
    /// Probability that the discriminator's logit is larger for a real image than for a student's
    /// sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc: Option<f64>,
}

impl Monitors {
    /// No samples yet; bins over the noise levels of a method's generator.
    pub fn new(method: &Method) -> Self {
        let bins = SigmaBins::new(&method.sigma_law, BINS);
        Self { bins, sums: vec![Bin::default(); bins.count()] }
    }

    /// Starts anew if the method has other noise levels.
    pub(crate) fn follow(&mut self, method: &Method) {
        if self.bins != SigmaBins::new(&method.sigma_law, BINS) {
            *self = Self::new(method);
        }
    }

    /// Adds a batch of the generator's step at noise levels `sigma`, `[B]`.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn add_errors(&mut self, sigma: &Tensor, errors: &DenoiserErrors) -> Result<()> {
        let parts = [&errors.teacher, &errors.fake, &errors.gap];
        let parts = parts.map(to_host).into_iter().collect::<Result<Vec<_>>>()?;
        for (row, sigma) in to_host(sigma)?.into_iter().enumerate() {
            let bin = &mut self.sums[self.bins.index(sigma)];
            bin.samples += 1;
            for (sum, part) in bin.errors.iter_mut().zip(&parts) {
                *sum += part[row];
            }
        }
        Ok(())
    }

    /// Adds log-ratios of the student's samples at noise levels `sigma`, `[B]`.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn add_log_ratios(&mut self, sigma: &Tensor, estimate: &LogRatioEstimate) -> Result<()> {
        let rows = to_host(sigma)?.into_iter().zip(to_host(&estimate.values)?);
        for ((sigma, value), estimated) in rows.zip(&estimate.estimated) {
            if *estimated {
                self.sums[self.bins.index(sigma)].student.push(value);
            }
        }
        Ok(())
    }

    /// Adds logits of the discriminator on fake and real images at noise levels `sigma`, each `[B]`.
    ///
    /// # Errors
    ///
    /// If a tensor operation fails.
    pub fn add_logits(&mut self, sigma: &Tensor, fake: &Tensor, real: &Tensor) -> Result<()> {
        for (side, logits) in [fake, real].into_iter().enumerate() {
            for (sigma, logit) in to_host(sigma)?.into_iter().zip(to_host(logits)?) {
                let index = self.bins.index(sigma);
                let [low, high] = self.bins.range(index);
                // The fake score is trained beyond the generator's noise levels too.
                if low <= sigma && sigma <= high {
                    self.sums[index].logits[side].push(logit);
                }
            }
        }
        Ok(())
    }

    /// The monitors since the last report, in order of the noise level; bins without samples are left out.
    pub fn report(&mut self) -> Vec<BinMonitor> {
        let sums = std::mem::replace(&mut self.sums, vec![Bin::default(); self.bins.count()]);
        let used = sums.iter().enumerate().filter(|(_, bin)| 0 < bin.samples);
        used.map(|(index, bin)| bin.report(self.bins.range(index))).collect()
    }
}

impl Bin {
    fn report(&self, sigma: [f64; 2]) -> BinMonitor {
        let [teacher, fake, gap] = self.errors;
        let count = self.student.len() as f64;
        let mean = self.student.iter().sum::<f64>() / count;
        let variance = self.student.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / count;
        let peak = self.student.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_mean =
            peak + (self.student.iter().map(|it| (it - peak).exp()).sum::<f64>() / count).ln();
        let estimated = |value: f64| (!self.student.is_empty()).then_some(value);
        let [on_fake, on_real] = &self.logits;
        BinMonitor {
            sigma,
            samples: self.samples,
            advantage: (0.0 < gap).then(|| (teacher - fake) / gap),
            mean_log_ratio: estimated(mean),
            std_log_ratio: estimated(variance.sqrt()),
            log_mean_ratio: estimated(log_mean),
            auc: auc(on_real, on_fake),
        }
    }
}

/// Share of the pairs in which the value of the first set is larger; ties count half. `None` if a set is
/// empty.
fn auc(above: &[f64], below: &[f64]) -> Option<f64> {
    if above.is_empty() || below.is_empty() {
        return None;
    }
    let mut sorted = below.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins: f64 = above
        .iter()
        .map(|it| {
            let smaller = sorted.partition_point(|other| other < it);
            let not_larger = sorted.partition_point(|other| other <= it);
            (smaller + not_larger) as f64 / 2.0
        })
        .sum();
    Some(wins / (above.len() * below.len()) as f64)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    /// A method whose six bins have the edges 1, 2, 4, ... 64, up to the tails of the distribution.
    fn method() -> Method {
        let sigma_law = divergence::SigmaDistribution::LogUniform { min: 1.0, max: 64.0 };
        Method { sigma_law, ..Method::default() }
    }

    #[test]
    fn advantage_of_an_exact_fake_score_is_one() {
        // By Pythagoras: |D_p − x₀|² = |D_q − x₀|² + |D_q − D_p|².
        let errors = DenoiserErrors {
            teacher: tensor(&[5.0, 3.0, 2.0]),
            fake: tensor(&[4.0, 1.0, 4.0]),
            gap: tensor(&[1.0, 2.0, 2.0]),
        };
        let mut monitors = Monitors::new(&method());
        monitors.add_errors(&tensor(&[1.5, 1.5, 20.0]), &errors).unwrap();
        let report = monitors.report();
        assert_eq!(report.len(), 2);
        assert_eq!((report[0].samples, report[0].advantage), (2, Some(1.0)));
        assert_eq!((report[1].samples, report[1].advantage), (1, Some(-1.0)));
        assert!(report[1].sigma[0] < 20.0 && 20.0 < report[1].sigma[1]);
        assert_eq!((report[0].mean_log_ratio, report[0].auc), (None, None));
        assert!(monitors.report().is_empty(), "a report starts anew");
    }

    #[test]
    fn errors_are_those_of_the_samples() {
        let rows = |values: &[f64]| tensor(values).reshape((2, 2)).unwrap();
        let (teacher, fake, x0) =
            (rows(&[1.0, 2.0, 0.0, 0.0]), rows(&[1.0, 0.0, 3.0, 0.0]), rows(&[0.0; 4]));
        let errors = DenoiserErrors::new(&teacher, &fake, &x0).unwrap();
        let host = |it: &Tensor| it.to_vec1::<f64>().unwrap();
        assert_eq!(host(&errors.teacher), [5.0, 0.0]);
        assert_eq!(host(&errors.fake), [1.0, 9.0]);
        assert_eq!(host(&errors.gap), [4.0, 9.0]);
    }

    #[test]
    fn statistics_of_the_log_ratio_are_those_of_the_estimated_samples() {
        let mut monitors = Monitors::new(&method());
        let one = tensor(&[1.0; 3]);
        let errors = DenoiserErrors { teacher: one.clone(), fake: one.clone(), gap: one };
        let sigma = tensor(&[1.5, 1.5, 1.5]);
        monitors.add_errors(&sigma, &errors).unwrap();
        let values = tensor(&[0.5f64.ln(), 1.5f64.ln(), 0.0]);
        let estimate = LogRatioEstimate { values, estimated: vec![true, true, false] };
        monitors.add_log_ratios(&sigma, &estimate).unwrap();
        let found = monitors.report()[0];
        let (mean, half) = (0.5 * 0.75f64.ln(), 0.5 * 3f64.ln());
        assert!((found.mean_log_ratio.unwrap() - mean).abs() < 1e-12);
        assert!((found.std_log_ratio.unwrap() - half).abs() < 1e-12);
        assert!(found.log_mean_ratio.unwrap().abs() < 1e-12);
    }

    #[test]
    fn auc_counts_pairs() {
        assert_eq!(auc(&[1.0, 2.0], &[0.0, 1.0]), Some(0.875));
        assert_eq!(auc(&[1.0], &[]), None);
        let mut monitors = Monitors::new(&method());
        let one = tensor(&[1.0]);
        let errors = DenoiserErrors { teacher: one.clone(), fake: one.clone(), gap: one };
        monitors.add_errors(&tensor(&[1.5]), &errors).unwrap();
        // A level beyond the generator's counts in no bin.
        let sigma = tensor(&[1.5, 0.01]);
        monitors.add_logits(&sigma, &tensor(&[0.0, 9.0]), &tensor(&[1.0, -9.0])).unwrap();
        assert_eq!(monitors.report()[0].auc, Some(1.0));
    }

    #[test]
    fn other_noise_levels_start_anew() {
        let mut monitors = Monitors::new(&method());
        let one = tensor(&[1.0]);
        let errors = DenoiserErrors { teacher: one.clone(), fake: one.clone(), gap: one };
        monitors.add_errors(&tensor(&[1.5]), &errors).unwrap();
        monitors.follow(&method());
        assert_eq!(monitors.clone().report().len(), 1);
        monitors.follow(&Method::default());
        assert!(monitors.report().is_empty());
    }
}
