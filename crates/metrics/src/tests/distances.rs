//! Moments, Fréchet distance and KID against closed forms, plain sums and invariances.

use proptest::prelude::*;

use super::{assert_close, map_rows, message, normal_rows, rows};
use crate::*;

fn gaussian(x: &Matrix) -> Gaussian {
    Moments::of(x).gaussian().unwrap()
}

fn distance(x: &Matrix, y: &Matrix) -> f64 {
    frechet_distance(&gaussian(x), &gaussian(y)).unwrap()
}

fn diagonal(mean: &[f64], variances: &[f64]) -> Gaussian {
    let dim = mean.len();
    let mut covariance = vec![0.0; dim * dim];
    variances.iter().enumerate().for_each(|(i, s)| covariance[i * dim + i] = *s);
    Gaussian::new(mean.to_vec(), covariance).unwrap()
}

/// Rotates by `angle` in the plane of the features `i` and `i + 1`, for every even `i`.
fn rotated(x: &Matrix, angle: f64) -> Matrix {
    let (sin, cos) = angle.sin_cos();
    map_rows(x, |row| {
        let pairs = row.chunks(2).flat_map(|pair| match *pair {
            [a, b] => {
                let (a, b) = (f64::from(a), f64::from(b));
                vec![(cos * a - sin * b) as f32, (sin * a + cos * b) as f32]
            }
            _ => pair.to_vec(),
        });
        pairs.collect()
    })
}

fn kid_by_definition(x: &Matrix, y: &Matrix) -> f64 {
    let kernel = |a: &[f32], b: &[f32]| {
        let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (dot / a.len() as f64 + 1.0).powi(3)
    };
    let mean = |x: &Matrix, y: &Matrix, same: bool| {
        let (mut sum, mut pairs) = (0.0, 0);
        for (i, a) in x.iter().enumerate() {
            for (_, b) in y.iter().enumerate().filter(|&(j, _)| !same || i != j) {
                sum += kernel(a, b);
                pairs += 1;
            }
        }
        sum / f64::from(pairs)
    };
    mean(x, x, true) + mean(y, y, true) - 2.0 * mean(x, y, false)
}

/// A Gaussian whose mean and covariance were moved by `by` in the direction of the entry `(i, j)`.
fn moved(gaussian: &Gaussian, (i, j): (usize, usize), by: [f64; 2]) -> Gaussian {
    let dim = gaussian.dim();
    let (mut mean, mut covariance) = (gaussian.mean().to_vec(), gaussian.covariance().to_vec());
    mean[i] += by[0];
    covariance[i * dim + j] += by[1];
    if i != j {
        covariance[j * dim + i] += by[1];
    }
    Gaussian::new(mean, covariance).unwrap()
}

#[test]
fn gradient_of_the_frechet_distance_agrees_with_differences() {
    let [real, other] = [1, 2].map(|seed| gaussian(&normal_rows(seed, 60, 5)));
    let reference = FrechetReference::new(real).unwrap();
    let gradient = reference.gradient(&other).unwrap();
    assert_close(gradient.distance, reference.distance(&other).unwrap(), 1e-10);
    const STEP: f64 = 1e-5;
    for i in 0..5 {
        for j in 0..=i {
            let difference = |axis: usize| {
                let by = |step: f64| if axis == 0 { [step, 0.0] } else { [0.0, step] };
                let at = |step| reference.distance(&moved(&other, (i, j), by(step))).unwrap();
                (at(STEP) - at(-STEP)) / (2.0 * STEP)
            };
            assert_close(gradient.mean[i], difference(0), 1e-7);
            // An entry off the diagonal moves its mirror image as well.
            let both = if i == j { 1.0 } else { 2.0 };
            assert_close(both * gradient.covariance[i * 5 + j], difference(1), 1e-6);
        }
    }
    assert!(reference.gradient(&diagonal(&[0.0], &[1.0])).is_err());
}

#[test]
fn gradient_of_the_frechet_distance_is_finite_for_few_rows() {
    // Four rows have a covariance of rank 3 in 8 dimensions.
    let [real, few] = [(3, 4), (4, 4)].map(|(seed, rows)| gaussian(&normal_rows(seed, rows, 8)));
    for (reference, other) in [(&real, &few), (&few, &real), (&few, &few)] {
        let gradient = FrechetReference::new(reference.clone()).unwrap().gradient(other).unwrap();
        assert!(gradient.covariance.iter().all(|it| it.is_finite()));
        assert_close(gradient.distance, frechet_distance(reference, other).unwrap(), 1e-6);
    }
}

/// Commuting covariances: `FD = |μ₁ − μ₂|² + Σ (σ₁ − σ₂)²`.
#[test]
fn frechet_distance_of_diagonal_gaussians_is_the_sum_over_axes() {
    let a = diagonal(&[1.0, -2.0, 0.5, 0.0], &[4.0, 1e-6, 9.0, 0.0]);
    let b = diagonal(&[0.0, 2.0, 0.5, 3.0], &[1.0, 25.0, 0.0, 0.0]);
    let spread = 1.0 + (5.0_f64 - 1e-3).powi(2) + 9.0;
    assert_close(frechet_distance(&a, &b).unwrap(), 1.0 + 16.0 + 9.0 + spread, 1e-12);
}

/// In two dimensions `tr √M = √(tr M + 2 √det M)`, with `M = S₁ S₂`, also for covariances that do
/// not commute.
#[test]
fn frechet_distance_in_the_plane_has_a_closed_form() {
    let (s, t) = ([3.0, 1.0, 1.0, 2.0], [1.0, -0.7, -0.7, 5.0]);
    let det = |m: [f64; 4]| m[0] * m[3] - m[1] * m[2];
    let trace = s[0] * t[0] + 2.0 * s[1] * t[1] + s[3] * t[3];
    let root = (trace + 2.0 * (det(s) * det(t)).sqrt()).sqrt();
    let expected = 4.0 + s[0] + s[3] + t[0] + t[3] - 2.0 * root;
    let a = Gaussian::new(vec![0.0, 1.0], s.to_vec()).unwrap();
    let b = Gaussian::new(vec![2.0, 1.0], t.to_vec()).unwrap();
    assert_close(frechet_distance(&a, &b).unwrap(), expected, 1e-13);
}

/// The covariance of 7 images has rank 6, in 14 features and in 40: appended zeros do not change
/// the distance.
#[test]
fn appended_zeros_do_not_change_the_frechet_distance() {
    let (x, y) = (normal_rows(0, 7, 14), normal_rows(1, 9, 14));
    let padded = |x: &Matrix| {
        rows(x.iter().flat_map(|row| row.iter().copied().chain([0.0; 26])).collect(), 40)
    };
    let expected = distance(&x, &y);
    assert!(1.0 < expected);
    assert_close(distance(&padded(&x), &padded(&y)), expected, 1e-11);
    assert_close(distance(&rotated(&padded(&x), 0.7), &rotated(&padded(&y), 0.7)), expected, 1e-5);
}

#[test]
fn a_set_of_any_rank_has_distance_zero_from_itself() {
    for (count, dim) in [(500, 30), (20, 64), (2, 5)] {
        let x = map_rows(&normal_rows(0, count, dim), |row| {
            // Spread over six orders of magnitude.
            row.iter().enumerate().map(|(i, x)| x * 10f32.powi(-(i as i32 % 7))).collect()
        });
        assert_close(distance(&x, &x), 0.0, 1e-12);
    }
}

#[test]
fn constant_features_have_the_distance_of_their_means() {
    let (x, y) = (rows(vec![3.0; 40], 4), rows(vec![1.0; 80], 4));
    assert_close(distance(&x, &y), 16.0, 1e-12);
    assert_close(kid(&x, &y).unwrap(), 1000.0 + 8.0 - 2.0 * 64.0, 1e-9);
}

#[test]
fn merged_moments_equal_moments_of_the_whole_set() {
    let x = map_rows(&normal_rows(3, 700, 150), |row| row.iter().map(|x| x + 1000.0).collect());
    let mut streamed = Moments::new(150);
    let mut rest = Moments::new(150);
    streamed.add(&x.select(&(0..300).collect::<Vec<_>>())).unwrap();
    streamed.merge(&Moments::new(150)).unwrap();
    rest.add(&x.select(&(300..301).collect::<Vec<_>>())).unwrap();
    rest.add(&x.select(&(301..700).collect::<Vec<_>>())).unwrap();
    streamed.merge(&rest).unwrap();
    assert_eq!(streamed.count(), 700);
    let (got, expected) = (streamed.gaussian().unwrap(), gaussian(&x));
    for (i, j) in [(0, 0), (3, 140), (149, 149)] {
        let column = |j: usize| x.iter().map(move |row| f64::from(row[j]));
        let mean = |j: usize| column(j).sum::<f64>() / 700.0;
        let (mi, mj) = (mean(i), mean(j));
        let by_hand = column(i).zip(column(j)).map(|(a, b)| (a - mi) * (b - mj)).sum::<f64>();
        assert_close(got.covariance()[i * 150 + j], by_hand / 699.0, 1e-11);
        assert_close(expected.covariance()[i * 150 + j], by_hand / 699.0, 1e-11);
        assert_close(got.mean()[i], mi, 1e-11);
    }
    assert_close(frechet_distance(&got, &expected).unwrap(), 0.0, 1e-10);
}

#[test]
fn weights_count_rows() {
    let x = normal_rows(4, 300, 5);
    let weights: Vec<u32> = (0..300).map(|i| i % 4).collect();
    let repeated: Vec<usize> =
        (0..300).flat_map(|i| std::iter::repeat_n(i, weights[i] as usize)).collect();
    let got = Moments::of_weighted(&x, &weights).unwrap();
    assert_eq!(got.count(), 450);
    let expected = gaussian(&x.select(&repeated));
    let got = got.gaussian().unwrap();
    for (got, expected) in got.covariance().iter().zip(expected.covariance()) {
        assert_close(*got, *expected, 1e-12);
    }
    assert!(message(Moments::of_weighted(&x, &[1, 2])).contains("weights: expected 300, found 2"));
}

#[test]
fn kid_equals_its_definition_over_several_tiles() {
    let x = normal_rows(5, 300, 6);
    let y = map_rows(&normal_rows(6, 531, 6), |row| row.iter().map(|x| x * 1.2 + 0.3).collect());
    let expected = kid_by_definition(&x, &y);
    assert!(0.05 < expected);
    assert_close(kid(&x, &y).unwrap(), expected, 1e-12);
}

#[test]
fn kid_of_subsets_scatters_around_kid() {
    let x = normal_rows(7, 600, 8);
    let y = map_rows(&normal_rows(8, 500, 8), |row| row.iter().map(|x| x + 0.4).collect());
    let whole = kid(&x, &y).unwrap();
    let got = kid_subsets(&x, &y, 40, 100, 5).unwrap();
    assert!(0.0 < got.std && (got.mean - whole).abs() < 3.0 * got.std / 40f64.sqrt());
    assert_eq!(got, kid_subsets(&x, &y, 40, 100, 5).unwrap());
    assert_ne!(got, kid_subsets(&x, &y, 40, 100, 6).unwrap());
    // A subset of the full size has every row once, in any order.
    let all = kid_subsets(&x, &x, 1, 600, 0).unwrap();
    assert_close(all.mean, kid(&x, &x).unwrap(), 1e-12);
}

#[test]
fn metrics_do_not_depend_on_the_number_of_threads() {
    let (x, y) = (normal_rows(9, 700, 140), normal_rows(10, 600, 140));
    let metrics = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let neighbors = || prdc(&x, &y, 3).unwrap();
        pool.install(|| (distance(&x, &y), kid(&x, &y).unwrap(), neighbors()))
    };
    let one = metrics(1);
    assert_eq!(one, metrics(2));
    assert_eq!(one, metrics(3));
}

#[test]
fn rejects_invalid_sets_and_covariances() {
    let x = normal_rows(11, 8, 3);
    let one = x.select(&[0]);
    let nan = Matrix::new("features", vec![0.0, 1.0, 2.0, f32::NAN], 2);
    assert!(message(nan).contains("features: row 1 is not finite"));
    assert!(message(Matrix::new("features", vec![0.0; 5], 2)).contains("expected 6, found 5"));
    assert!(message(Matrix::new("features", Vec::new(), 0)).contains("expected"));
    assert!(message(Moments::of(&one).gaussian()).contains("covariance: 1 samples, at least 2"));
    assert!(message(kid(&one, &x)).contains("KID: 1 samples, at least 2"));
    assert!(message(kid(&x, &normal_rows(0, 8, 4))).contains("dimension: expected 3, found 4"));
    assert!(message(kid_subsets(&x, &x, 0, 4, 0)).contains("number of KID subsets is 0"));
    assert!(message(kid_subsets(&x, &x, 2, 9, 0)).contains("8 samples, at least 9"));
    assert!(message(Moments::new(2).add(&x)).contains("expected 2, found 3"));
    let other = gaussian(&normal_rows(0, 8, 4));
    assert!(message(frechet_distance(&gaussian(&x), &other)).contains("dimension"));

    let plane = |covariance: [f64; 4]| Gaussian::new(vec![0.0; 2], covariance.to_vec());
    assert!(message(plane([1.0, 0.5, 0.4, 1.0])).contains("not symmetric at row 1, column 0"));
    assert!(message(plane([1.0, 0.0, 0.0, f64::NAN])).contains("covariance: row 1 is not finite"));
    assert!(message(Gaussian::new(vec![], vec![])).contains("covariance"));
    assert!(message(Gaussian::new(vec![0.0; 2], vec![1.0; 3])).contains("expected 4, found 3"));
    let indefinite = plane([1.0, 2.0, 2.0, 1.0]).unwrap();
    assert!(message(frechet_distance(&indefinite, &indefinite)).contains("negative eigenvalue"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn frechet_distance_is_symmetric_and_invariant_to_rotation_and_translation(
        stream in 0u32..1000, angle in -3.0..3.0f64, shift in -5.0..5.0f32, dim in 1usize..9,
    ) {
        let x = normal_rows(2 * stream, 40, dim);
        let stretched = |row: &[f32]| row.iter().enumerate().map(|(i, x)| x * i as f32 + 0.5).collect();
        let y = map_rows(&normal_rows(2 * stream + 1, 30, dim), stretched);
        let expected = distance(&x, &y);
        prop_assert!(0.0 < expected);
        prop_assert!((distance(&y, &x) - expected).abs() < 1e-10 * (1.0 + expected));
        let moved = |x: &Matrix| {
            map_rows(&rotated(x, angle), |row| row.iter().map(|x| x + shift).collect())
        };
        // The moved features are rounded to f32.
        prop_assert!((distance(&moved(&x), &moved(&y)) - expected).abs() < 1e-4 * (1.0 + expected));
    }

    #[test]
    fn kid_is_symmetric_and_invariant_to_rotation_and_order(
        stream in 0u32..1000, angle in -3.0..3.0f64, dim in 1usize..9,
    ) {
        let (x, y) = (normal_rows(2 * stream, 25, dim), normal_rows(2 * stream + 1, 31, dim));
        let expected = kid(&x, &y).unwrap();
        prop_assert!((kid(&y, &x).unwrap() - expected).abs() < 1e-12);
        let turned = kid(&rotated(&x, angle), &rotated(&y, angle)).unwrap();
        prop_assert!((turned - expected).abs() < 1e-4);
        let reversed = x.select(&(0..25).rev().collect::<Vec<_>>());
        prop_assert!((kid(&reversed, &y).unwrap() - expected).abs() < 1e-12);
    }
}
