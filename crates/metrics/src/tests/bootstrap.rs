//! Confidence intervals against the spread over fresh samples.

use super::{assert_close, map_rows, message, normal_rows, rows};
use crate::prdc::Neighborhoods;
use crate::*;

fn moved(stream: u32, count: usize) -> Matrix {
    map_rows(&normal_rows(stream, count, 6), |row| row.iter().map(|x| 1.1 * x + 0.3).collect())
}

/// Computes the standard deviation of a metric over fresh sets.
fn spread(metric: impl Fn(&Matrix) -> f64) -> f64 {
    let values: Vec<f64> = (0..60).map(|i| metric(&moved(100 + i, 300))).collect();
    let mean = values.iter().sum::<f64>() / 60.0;
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 59.0).sqrt()
}

#[track_caller]
fn assert_covers(interval: Interval, estimate: f64, spread: f64) {
    let Interval { low, high, standard_error } = interval;
    assert!(low < estimate && estimate < high, "{estimate} outside {interval:?}");
    let ratio = standard_error / spread;
    assert!((0.7..1.4).contains(&ratio), "standard error {standard_error}, true {spread}");
    // 95 % of a normal distribution lie within 1.96 standard deviations.
    let width = (high - low) / (2.0 * 1.96 * standard_error);
    assert!((0.8..1.2).contains(&width), "{interval:?}");
}

#[test]
fn a_frechet_interval_has_the_width_of_fresh_samples() {
    let reference = Moments::of(&normal_rows(0, 2000, 6)).gaussian().unwrap();
    let metric =
        |x: &Matrix| frechet_distance(&Moments::of(x).gaussian().unwrap(), &reference).unwrap();
    let x = moved(1, 300);
    let interval = Bootstrap::default().frechet(&x, &reference).unwrap();
    assert_covers(interval, metric(&x), spread(metric));
}

#[test]
fn a_kid_interval_has_the_width_of_fresh_samples() {
    let reference = normal_rows(0, 600, 6);
    let metric = |x: &Matrix| kid(x, &reference).unwrap();
    let x = moved(1, 300);
    let interval = Bootstrap::default().kid(&x, &reference).unwrap();
    assert_covers(interval, metric(&x), spread(metric));
}

/// With few images per feature, resamples are much farther from the reference than the sample, and
/// the plain percentiles exclude the estimate.
#[test]
fn the_bias_of_resamples_does_not_shift_a_frechet_interval() {
    let reference = Moments::of(&normal_rows(0, 500, 40)).gaussian().unwrap();
    let x = normal_rows(1, 60, 40);
    let estimate = frechet_distance(&Moments::of(&x).gaussian().unwrap(), &reference).unwrap();
    let Interval { low, high, .. } = Bootstrap::default().frechet(&x, &reference).unwrap();
    assert!(low < estimate && estimate < high, "{estimate} outside {low} to {high}");
    let middle = (low + high) / 2.0;
    assert!((middle - estimate).abs() < 0.2 * (high - low), "{estimate} in {low} to {high}");
}

/// Compared with the distance from the resample's moments, with more and with fewer images than
/// features.
#[test]
fn frechet_replicates_are_distances_of_resamples() {
    for (images, dim) in [(60, 6), (20, 30)] {
        let (x, y) = (normal_rows(1, images, dim), normal_rows(0, 90, dim));
        let reference = Moments::of(&y).gaussian().unwrap();
        let bootstrap = Bootstrap { replicates: 2, ..Bootstrap::default() };
        // With two replicates a and b the standard error is |a - b| / sqrt(2).
        let got = bootstrap.frechet(&x, &reference).unwrap().standard_error * 2f64.sqrt();
        let stream = kernels::noise::NoiseStream::new(0, 0x424f_4f54);
        let replicate = |position| {
            let draw = |i| stream.below(position, i, images as u64) as usize;
            let drawn = x.select(&(0..images as u32).map(draw).collect::<Vec<_>>());
            let gaussian = Moments::of(&drawn).gaussian().unwrap();
            frechet_distance(&gaussian, &reference).unwrap()
        };
        assert_close(got, (replicate(0) - replicate(1)).abs(), 1e-5);
    }
}

/// Precision and density are means over generated images, recall and coverage over references.
#[test]
fn neighbor_intervals_have_the_width_of_fresh_samples() {
    let reference = normal_rows(0, 300, 6);
    let x = moved(1, 300);
    let got = Bootstrap::default().prdc(&x, &reference, 5).unwrap();
    let estimate = prdc(&x, &reference, 5).unwrap();
    let metric = |of: fn(&Prdc) -> f64| spread(|x| of(&prdc(x, &reference, 5).unwrap()));
    assert_covers(got.precision, estimate.precision, metric(|it| it.precision));
    assert_covers(got.density, estimate.density, metric(|it| it.density));
    // These vary more over resamples, which have fewer distinct images, than over fresh sets.
    for (interval, estimate, true_spread) in [
        (got.recall, estimate.recall, metric(|it| it.recall)),
        (got.coverage, estimate.coverage, metric(|it| it.coverage)),
    ] {
        assert!(interval.low < estimate && estimate < interval.high, "{interval:?}");
        let ratio = interval.standard_error / true_spread;
        assert!((0.8..1.9).contains(&ratio), "{interval:?}, true {true_spread}");
    }
}

/// Copies do not count as neighbors.
#[test]
fn prdc_of_a_resample_is_prdc_of_its_distinct_images() {
    let (x, y) = (moved(1, 70), normal_rows(0, 50, 6));
    let neighborhoods = Neighborhoods::new(&x, &y, 3, Bootstrap::depth(3)).unwrap();
    for seed in 0..5 {
        let occurs = |i: &usize| (i * (seed + 3)) % 5 < 3;
        let weights: Vec<u32> = (0..70).map(|i| u32::from(occurs(&i))).collect();
        let different = x.select(&(0..70).filter(occurs).collect::<Vec<_>>());
        assert_eq!(neighborhoods.metrics(&weights), prdc(&different, &y, 3).unwrap(), "{seed}");
    }
}

/// On a lattice nearly all distances equal a radius; a sample at the boundary is outside.
#[test]
fn a_sample_at_the_boundary_is_outside() {
    let lattice = |step: usize| rows((0..60).map(|i| (step * i) as f32).collect(), 1);
    let (x, y) = (lattice(2), lattice(3));
    for k in 1..6 {
        let neighborhoods = Neighborhoods::new(&x, &y, k, Bootstrap::depth(k)).unwrap();
        assert_eq!(neighborhoods.metrics(&[1; 60]), prdc(&x, &y, k).unwrap(), "{k}");
    }
}

#[test]
fn an_inception_score_interval_has_the_width_of_fresh_samples() {
    let metric = |x: &Matrix| inception_score(x).unwrap();
    let x = moved(1, 300);
    let interval = Bootstrap::default().inception_score(&x).unwrap();
    assert_covers(interval, metric(&x), spread(metric));
}

/// Compared with KID of the resample without pairs of copies, computed from the rows.
#[test]
fn kid_replicates_exclude_pairs_of_copies() {
    let (x, y) = (moved(1, 270), normal_rows(0, 40, 6));
    let bootstrap = Bootstrap { replicates: 2, ..Bootstrap::default() };
    // With two replicates a and b the standard error is |a - b| / sqrt(2).
    let got = bootstrap.kid(&x, &y).unwrap().standard_error * 2f64.sqrt();
    let stream = kernels::noise::NoiseStream::new(0, 0x424f_4f54);
    let kernel = |a: &[f32], b: &[f32]| {
        let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (dot / 6.0 + 1.0).powi(3)
    };
    let replicate = |position| {
        let drawn: Vec<usize> = (0..270).map(|i| stream.below(position, i, 270) as usize).collect();
        let (mut within, mut pairs, mut across) = (0.0, 0.0, 0.0);
        for &i in &drawn {
            for &j in drawn.iter().filter(|&&j| i != j) {
                within += kernel(x.row(i), x.row(j));
                pairs += 1.0;
            }
            across += y.iter().map(|y| kernel(x.row(i), y)).sum::<f64>();
        }
        within / pairs - 2.0 * across / (270.0 * 40.0)
    };
    assert_close(got, (replicate(0) - replicate(1)).abs(), 1e-12);
}

/// The standard error of a share `p` of `n` is `√(p (1 − p) / n)`.
#[test]
fn an_accuracy_interval_is_binomial() {
    let values = (0..400).flat_map(|i| if i % 5 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
    let bootstrap = Bootstrap { replicates: 2000, ..Bootstrap::default() };
    let interval = bootstrap.class_accuracy(&rows(values, 2), &[1; 400]).unwrap();
    assert_covers(interval, 0.8, (0.8f64 * 0.2 / 400.0).sqrt());
    assert_close(interval.standard_error, 0.02, 0.001);
}

#[test]
fn equal_seeds_give_equal_intervals() {
    let (x, y) = (moved(1, 50), normal_rows(0, 40, 6));
    let interval = |seed| {
        let bootstrap = Bootstrap { replicates: 20, seed, ..Bootstrap::default() };
        bootstrap.kid(&x, &y).unwrap()
    };
    assert_eq!(interval(1), interval(1));
    assert_ne!(interval(1), interval(2));
}

#[test]
fn rejects_settings_out_of_range() {
    let (x, few) = (normal_rows(0, 20, 2), normal_rows(0, 9, 2));
    let reject = |bootstrap: Bootstrap, x: &Matrix| message(bootstrap.kid(x, x));
    let default = Bootstrap::default();
    assert!(reject(default, &few).contains("confidence interval: 9 samples, at least 10"));
    let lone = Bootstrap { replicates: 1, ..default };
    assert!(reject(lone, &x).contains("number of resamples is 1"));
    for level in [0.0, 1.0, f64::NAN] {
        assert!(reject(Bootstrap { level, ..default }, &x).contains("level of an interval"));
    }
}
