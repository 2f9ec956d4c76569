//! From logits to weights.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use super::{any_divergence, assert_close};
use crate::{
    Divergence, Method, PathConfig, RatioConfig, RatioEstimator, RatioMonitor, RatioState,
};

/// The weights of a batch, a row each of `w`, κ₁ and κ₂.
struct Weighed {
    rows: [Vec<f64>; 3],
    monitor: RatioMonitor,
}

fn weigh(
    state: &mut RatioState,
    method: &Method,
    logits: &[f64],
    sigma: &[f64],
    prior: f64,
) -> Weighed {
    let tensor = |x: &[f64]| Tensor::new(x, &Device::Cpu).unwrap();
    let (weights, monitor) = state.weights(method, &tensor(logits), &tensor(sigma), prior).unwrap();
    let rows = [weights.weight, weights.kappa1, weights.kappa2].map(|it| it.to_vec1().unwrap());
    Weighed { rows, monitor }
}

fn once(method: &Method, logits: &[f64], prior: f64) -> Weighed {
    weigh(&mut RatioState::default(), method, logits, &vec![1.0; logits.len()], prior)
}

fn method(divergence: Divergence, ratio: RatioConfig) -> Method {
    Method { divergence, ratio, ..Method::default() }
}

/// Neither clamp nor normalization.
const RAW: RatioConfig = RatioConfig {
    estimator: RatioEstimator::Discriminator,
    path: PathConfig { strata: 8, antithetic: true, min: 0.0, max: 3.0, end: 80.0, every: 1 },
    clamp: f64::INFINITY,
    temper: 1.0,
    bins: 0,
    bin_decay: 0.999,
    recalibrate: false,
    normalize_batch: false,
};

fn any_logits() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-8.0..8.0, 1..20)
}

proptest! {
    #[test]
    fn raw_weights_are_the_profile(d in any_divergence(), logits in any_logits()) {
        let h = d.profile();
        let got = once(&method(d, RAW), &logits, 0.0);
        for (i, &l) in logits.iter().enumerate() {
            assert_close(got.rows[0][i], h.eval(l), 1e-11);
            assert_close(got.rows[1][i], h.kappa1(l), 1e-14);
            assert_close(got.rows[2][i], h.kappa2(l), 1e-14);
        }
    }

    /// Scaling `h` changes nothing once the batch is normalized; for the power divergences neither
    /// does a constant shift of the logits.
    #[test]
    fn normalized_weights_ignore_constants(
        a in -2.0..3.0,
        scale in 0.01..100.0,
        shift in -5.0..5.0,
        logits in any_logits(),
    ) {
        let ratio = RatioConfig { normalize_batch: true, ..RAW };
        let d = Divergence::Alpha(a);
        let base = once(&method(d.clone(), ratio), &logits, 0.0);
        let scaled = Divergence::Mixture(vec![(scale, d.clone())]);
        let shifted: Vec<f64> = logits.iter().map(|l| l + shift).collect();
        for other in [
            once(&method(scaled, ratio), &logits, 0.0),
            once(&method(d.clone(), ratio), &shifted, 0.0),
        ] {
            for (row, other) in base.rows.iter().zip(&other.rows) {
                for (got, want) in row.iter().zip(other) {
                    assert_close(*got, *want, 1e-12);
                }
            }
        }
        let mean: f64 = base.rows[0].iter().sum::<f64>() / logits.len() as f64;
        assert_close(mean, 1.0, 1e-13);
    }

    #[test]
    fn prior_log_odds_are_subtracted(
        d in any_divergence(),
        logits in any_logits(),
        prior in -3.0..3.0,
    ) {
        let biased: Vec<f64> = logits.iter().map(|l| l + prior).collect();
        let method = method(d, RatioConfig::default());
        let (got, want) = (once(&method, &biased, prior), once(&method, &logits, 0.0));
        for (row, other) in got.rows.iter().flatten().zip(want.rows.iter().flatten()) {
            assert_close(*row, *other, 1e-11);
        }
    }

    /// Forward KL tempered by τ is Amari's alpha with `a = 1 - τ`.
    #[test]
    fn tempered_forward_kl_is_amaris_alpha(tau in 0.05..2.0, logits in any_logits()) {
        let tempered = RatioConfig { temper: tau, normalize_batch: true, ..RAW };
        let plain = RatioConfig { normalize_batch: true, ..RAW };
        let got = once(&method(Divergence::ForwardKl, tempered), &logits, 0.0);
        let want = once(&method(Divergence::Alpha(1.0 - tau), plain), &logits, 0.0);
        for (got, want) in got.rows.iter().flatten().zip(want.rows.iter().flatten()) {
            assert_close(*got, *want, 1e-12);
        }
    }

    /// However wild the logits, `f32` weights are finite, of mean 1, and their slopes bounded.
    #[test]
    fn wild_logits_give_finite_weights(
        d in any_divergence(),
        logits in prop::collection::vec(-1e4f32..1e4, 1..20),
        clamp in prop_oneof![Just(3.0), Just(f64::INFINITY)],
        bins in 0usize..4,
    ) {
        let ratio = RatioConfig { clamp, bins, normalize_batch: true, ..RAW };
        let tensor = Tensor::new(logits.as_slice(), &Device::Cpu).unwrap();
        let sigma = tensor.ones_like().unwrap();
        let (weights, monitor) =
            RatioState::default().weights(&method(d, ratio), &tensor, &sigma, 0.0).unwrap();
        prop_assert_eq!(weights.weight.dtype(), DType::F32);
        let weight = weights.weight.to_vec1::<f32>().unwrap();
        let mean = weight.iter().sum::<f32>() / logits.len() as f32;
        prop_assert!((mean - 1.0).abs() < 1e-5, "{weight:?}");
        for kappa in [weights.kappa1, weights.kappa2] {
            prop_assert!(kappa.to_vec1::<f32>().unwrap().iter().all(|it| it.abs() <= 9.01));
        }
        prop_assert!(monitor.log_mean_ratio.is_finite() && monitor.non_finite == 0);
        prop_assert!(0.0 < monitor.effective_share && monitor.effective_share < 1.0 + 1e-12);
    }
}

#[test]
fn clamp_comes_before_temper() {
    let ratio = RatioConfig { clamp: 3.0, temper: 0.5, ..RAW };
    let got = once(&method(Divergence::ForwardKl, ratio), &[-10.0, 2.0, 10.0], 0.0);
    for (got, l) in got.rows[0].iter().zip([-1.5f64, 1.0, 1.5]) {
        assert_close(*got, l.exp(), 1e-14);
    }
    assert_close(got.monitor.clamped, 2.0 / 3.0, 1e-15);
}

#[test]
fn slopes_are_zero_where_the_clamp_makes_the_weight_constant() {
    let ratio = RatioConfig { clamp: 3.0, ..RAW };
    let got = once(&method(Divergence::JensenShannon, ratio), &[-3.1, -2.9, 2.9, 3.1], 0.0);
    for row in &got.rows[1..] {
        assert_eq!((row[0], row[3]), (0.0, 0.0));
        assert!(row[1] != 0.0 && row[2] != 0.0, "{row:?}");
    }
}

/// A shift of all logits of a noise level, as by a miscalibrated estimator, is removed before the clamp.
#[test]
fn recalibration_removes_a_shift_of_the_logits() {
    let ratio = RatioConfig { clamp: 3.0, bins: 1, bin_decay: 0.99, recalibrate: true, ..RAW };
    let method = method(Divergence::JensenShannon, ratio);
    // Of mean 1 in exp.
    let (low, high) = (0.5f64.ln(), 1.5f64.ln());
    for shift in [-1.0, 0.0, 2.0] {
        let mut state = RatioState::default();
        let logits = [low + shift, high + shift];
        for _ in 0..400 {
            weigh(&mut state, &method, &logits, &[1.0, 1.0], 0.0);
        }
        let rows = weigh(&mut state, &method, &logits, &[1.0, 1.0], 0.0).rows;
        for (got, l) in rows[0].iter().zip([low, high]) {
            assert_close(*got, l.exp() / (1.0 + l.exp()), 1e-6);
        }
    }
}

/// The mean of one or two weights would be the weights themselves.
#[test]
fn small_batches_keep_their_contrast() {
    let ratio = RatioConfig { normalize_batch: true, bin_decay: 0.999, ..RAW };
    let method = method(Divergence::ForwardKl, ratio);
    let mut state = RatioState::default();
    for _ in 0..5000 {
        for l in [0.0, 1.0] {
            weigh(&mut state, &method, &[l], &[1.0], 0.0);
        }
    }
    let high = weigh(&mut state, &method, &[1.0], &[1.0], 0.0).rows[0][0];
    let expected = 2.0 * 1f64.exp() / (1.0 + 1f64.exp());
    assert!((high - expected).abs() < 0.01, "{high} {expected}");
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<RatioState>(&text).unwrap(), state);
    // Files of batches of 8 and more hold no such mean.
    let eight = [0.5; 8];
    let mut state = RatioState::default();
    weigh(&mut state, &method, &eight, &[1.0; 8], 0.0);
    assert_eq!(serde_json::to_string(&state).unwrap(), "{\"bins\":[]}");
}

#[test]
fn monitor_reports_calibration_and_degeneracy() {
    let got = once(&method(Divergence::ForwardKl, RAW), &[0.5f64.ln(), 1.5f64.ln()], 0.0).monitor;
    assert_close(got.mean_ratio(), 1.0, 1e-14);
    assert_close(got.mean_log_ratio, 0.5 * 0.75f64.ln(), 1e-14);
    assert_close(got.effective_share, 4.0 / (2.0 * 2.5), 1e-14);
    assert_eq!((got.clamped, got.non_finite), (0.0, 0));
    // Reverse KL weighs all alike, whatever the ratio.
    let even = once(&method(Divergence::ReverseKl, RAW), &[-3.0, 0.0, 4.0], 0.0).monitor;
    assert_close(even.effective_share, 1.0, 1e-15);
}

/// Levels whose ratios differ by orders of magnitude end up with the same mean weight.
#[test]
fn bins_even_out_the_noise_levels() {
    let ratio = RatioConfig { bins: 8, bin_decay: 0.9, ..RAW };
    let method = method(Divergence::ForwardKl, ratio);
    let mut state = RatioState::default();
    let sigma = [0.01, 0.01, 5.0, 5.0];
    for step in 0..60 {
        let wobble = 0.3 * f64::from(step % 3 - 1);
        let logits = [4.0 + wobble, 5.0 - wobble, -6.0 - wobble, -6.0 + wobble];
        weigh(&mut state, &method, &logits, &sigma, 0.0);
    }
    let got = weigh(&mut state, &method, &[4.0, 5.0, -6.0, -6.0], &sigma, 0.0).rows;
    let means = [0.5 * (got[0][0] + got[0][1]), 0.5 * (got[0][2] + got[0][3])];
    assert!(means.iter().all(|it| (it - 1.0).abs() < 0.1), "{means:?}");
    // Within a level the ratio of weights is untouched.
    assert_close(got[0][1] / got[0][0], 1f64.exp(), 1e-12);
    // Two bins are filled, and the state survives its file.
    assert_eq!(state.bins.iter().filter(|it| 0.0 < it.fill).count(), 2);
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<RatioState>(&text).unwrap(), state);
}

#[test]
fn running_means_forget_at_the_given_rate() {
    let ratio = RatioConfig { bins: 1, bin_decay: 0.75, ..RAW };
    let method = method(Divergence::ForwardKl, ratio);
    let mut state = RatioState::default();
    // The first batch sets the mean; each later sample leaves three quarters of what was.
    weigh(&mut state, &method, &[2f64.ln()], &[1.0], 0.0);
    assert_close(state.bins[0].log_mean.exp(), 2.0, 1e-14);
    weigh(&mut state, &method, &[4f64.ln(), 8f64.ln()], &[1.0, 1.0], 0.0);
    let (old, new) = (0.25 * 0.5625, 1.0 - 0.5625);
    assert_close(state.bins[0].log_mean.exp(), (old * 2.0 + new * 6.0) / (old + new), 1e-14);
    assert_close(state.bins[0].fill, old + new, 1e-14);
}

#[test]
fn broken_logits_make_one_step_non_finite() {
    let ratio = RatioConfig { bins: 4, normalize_batch: true, clamp: 3.0, ..RAW };
    let method = method(Divergence::ForwardKl, ratio);
    let mut state = RatioState::default();
    weigh(&mut state, &method, &[0.5, 0.1], &[1.0, 1.0], 0.0);
    for broken in [f64::NAN, f64::INFINITY] {
        let got = weigh(&mut state, &method, &[broken, 0.1], &[1.0, 1.0], 0.0);
        assert_eq!(got.monitor.non_finite, 1);
        assert!(got.rows[0].iter().all(|it| it.is_nan()), "the step must not pass for a good one");
    }
    let after = weigh(&mut state, &method, &[0.5, 0.1], &[1.0, 1.0], 0.0);
    assert!(after.rows[0].iter().all(|it| it.is_finite()));
}

/// NaN, zero and negative noise levels once counted as the smallest one.
#[test]
fn broken_noise_levels_make_the_step_non_finite() {
    for bins in [0, 4] {
        let ratio = RatioConfig { bins, normalize_batch: true, clamp: 3.0, ..RAW };
        let method = method(Divergence::ForwardKl, ratio);
        for broken in [f64::NAN, 0.0, -0.5, f64::INFINITY] {
            let mut state = RatioState::default();
            weigh(&mut state, &method, &[0.5, 0.1], &[0.002, 1.0], 0.0);
            let before = state.clone();
            let got = weigh(&mut state, &method, &[0.5], &[broken], 0.0);
            assert_eq!(got.monitor.non_finite, 1, "{broken}");
            assert!(got.rows.iter().flatten().all(|it| it.is_nan()), "{broken}");
            assert_eq!(state, before, "{broken}");
        }
    }
}

#[test]
fn rejects_mismatched_shapes() {
    let (mut state, method) = (RatioState::default(), Method::default());
    let tensor = |n| Tensor::zeros(n, DType::F32, &Device::Cpu).unwrap();
    let error = state.weights(&method, &tensor(2), &tensor(3), 0.0).unwrap_err().to_string();
    assert!(error.contains("logits are [2], sigma is [3]"), "{error}");
    assert!(state.weights(&method, &tensor(0), &tensor(0), 0.0).is_err());
}
