//! Calibration of a log-ratio by a running logistic regression.

use super::assert_close;
use crate::{Calibration, CalibrationFeatures, Method, RatioConfig, RatioEstimator, RatioState};

/// Uniform numbers in (0, 1): a Weyl sequence for each lane.
fn uniform(index: usize, lane: usize) -> f64 {
    let step = [0.754_877_666_246_692_7, 0.569_840_290_998_053_2, 0.618_033_988_749_894_9][lane];
    (0.5 + step * (index + 1) as f64).fract()
}

/// Samples of two unit normal distributions at 1 (real) and at -1, whose log-ratio is 2 x, with an
/// estimate of it that has the wrong scale and offset.
fn samples(count: usize, distort: impl Fn(f64) -> f64) -> Vec<(CalibrationFeatures, bool)> {
    let sample = |i: usize| {
        let real = i.is_multiple_of(2);
        let (radius, angle) = ((-2.0 * uniform(i, 0).ln()).sqrt(), uniform(i, 1));
        let normal = radius * (std::f64::consts::TAU * angle).cos();
        let x = normal + if real { 1.0 } else { -1.0 };
        ([1.0, 0.0, 0.0, distort(2.0 * x)], real)
    };
    (0..count).map(sample).collect()
}

fn after(samples: &[(CalibrationFeatures, bool)], batch: usize, decay: f64) -> Calibration {
    let mut calibration = Calibration::default();
    samples.chunks(batch).for_each(|batch| calibration.note(batch, decay));
    calibration
}

#[test]
fn before_any_sample_it_is_the_path_integral() {
    assert_eq!(Calibration::default().log_ratio(&[1.0, 5.0, -7.0, 0.3]), 0.3);
}

#[test]
fn scale_and_offset_of_an_estimate_are_corrected() {
    for (scale, offset) in [(1.0, 0.0), (3.0, 1.0), (0.4, -2.0), (-1.0, 0.5)] {
        let estimate = |l: f64| scale * l + offset;
        let calibration = after(&samples(8000, estimate), 16, 0.9999);
        for l in [-4.0, -1.0, 0.0, 2.0] {
            let found = calibration.log_ratio(&[1.0, 0.0, 0.0, estimate(l)]);
            assert_close(found, l, 0.3);
        }
    }
}

#[test]
fn one_batch_agrees_with_many_small_ones() {
    // Newton's method forgets where it started, so the size of a batch hardly matters.
    let samples = samples(8000, |l| 2.0 * l + 1.0);
    let [fine, coarse] = [4, 400].map(|batch| after(&samples, batch, 0.9999));
    for l in [-2.0, 1.0] {
        let features = [1.0, 0.0, 0.0, 2.0 * l + 1.0];
        assert_close(fine.log_ratio(&features), coarse.log_ratio(&features), 0.1);
    }
}

#[test]
fn units_of_a_feature_do_not_matter() {
    let with_units = |unit: f64| {
        let samples = samples(2000, |l| l);
        let scaled = |&([one, _, _, l], real): &(CalibrationFeatures, bool)| {
            ([one, unit * l * l, 0.0, l], real)
        };
        let calibration = after(&samples.iter().map(scaled).collect::<Vec<_>>(), 16, 0.999);
        calibration.log_ratio(&[1.0, unit * 4.0, 0.0, 2.0])
    };
    assert_close(with_units(1e4), with_units(1.0), 1e-6);
    assert_close(with_units(1e-3), with_units(1.0), 1e-6);
}

#[test]
fn the_past_is_forgotten() {
    let mut samples = samples(4000, |l| l);
    let turned = self::samples(4000, |l| -l);
    samples.extend(turned);
    let calibration = after(&samples, 16, 0.999);
    assert_close(calibration.log_ratio(&[1.0, 0.0, 0.0, -2.0]), 2.0, 0.3);
}

#[test]
fn separable_and_broken_samples_do_not_break_it() {
    let separable =
        (0..500).map(|i| ([1.0, 0.0, 0.0, if i % 2 == 0 { 9.0 } else { -9.0 }], i % 2 == 0));
    let mut calibration = after(&separable.collect::<Vec<_>>(), 10, 0.99);
    let before = calibration.clone();
    assert!(calibration.log_ratio(&[1.0, 0.0, 0.0, 9.0]).is_finite());
    calibration
        .note(&[([1.0, f64::NAN, 0.0, 1.0], true), ([1.0, 0.0, f64::INFINITY, 1.0], false)], 0.9);
    calibration.note(&[], 0.9);
    assert_eq!(calibration, before);
}

#[test]
fn each_bin_of_the_noise_level_has_its_own() {
    let ratio = RatioConfig {
        estimator: RatioEstimator::PathCalibrated,
        bins: 4,
        ..RatioConfig::default()
    };
    let method = Method { ratio, ..Method::default() };
    let mut state = RatioState::default();
    let features = [1.0, 0.0, 0.0, 2.0];
    assert_eq!(state.calibrated(&method, 0.1, &features), 2.0);
    let samples = samples(4000, |l| -l);
    let at = |sigma: f64| samples.iter().map(move |&(it, real)| (sigma, it, real));
    for batch in at(0.01).collect::<Vec<_>>().chunks(32) {
        state.calibrate(&method, batch);
    }
    assert_close(state.calibrated(&method, 0.01, &features), -2.0, 0.3);
    // No sample was in this bin.
    assert_eq!(state.calibrated(&method, 20.0, &features), 2.0);
    // It survives a checkpoint, and bins of another number start anew.
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<RatioState>(&text).unwrap(), state);
    let other = Method { ratio: RatioConfig { bins: 5, ..ratio }, ..method };
    assert_eq!(state.calibrated(&other, 0.01, &features), 2.0);
    // A level that is no number belongs to no bin.
    let before = state.clone();
    state.calibrate(&Method { ratio, ..Method::default() }, &[(f64::NAN, features, true)]);
    assert_eq!(state, before);
}
