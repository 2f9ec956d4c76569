//! Gaussian mixtures: moments, scores, denoisers, and invalid mixtures.

use super::assert_close;
use super::toy::ToyProblem;
use crate::mixture::{Component, GaussianMixture};
use crate::quadrature::{Grid, gauss_legendre};

#[test]
fn moments_match_theory() {
    let modes = [(0.35, -1.92, 0.35), (0.25, 0.48, 0.25), (0.40, 2.40, 0.45)];
    let teacher = GaussianMixture::on_line(&modes).unwrap();
    assert_close(teacher.mean()[0], 0.4080, 1e-12);
    assert_close(teacher.covariance()[0].sqrt(), 1.96224, 1e-5);
}

#[test]
fn density_and_score_are_consistent_in_two_dimensions() {
    let teacher = ToyProblem::plane().teacher.at(0.4).unwrap();
    let grid = Grid { half_width: 9.0, points: 121 };
    // Mass, and E[∇ ln p] = 0, E[x · ∇ ln p] = -d.
    let integrals = grid.integrate(2, 4, |x, sums| {
        let (p, score) = (teacher.log_density(x).exp(), teacher.score(x));
        sums[0] += p;
        sums[1] += p * score[0];
        sums[2] += p * score[1];
        sums[3] += p * (x[0] * score[0] + x[1] * score[1]);
    });
    for (got, want) in integrals.into_iter().zip([1.0, 0.0, 0.0, -2.0]) {
        assert_close(got, want, 1e-12);
    }
    for x in [[0.3, -0.2], [-1.5, 2.0], [4.0, 5.0]] {
        let mut score = [0.0; 2];
        let log = teacher.score_into(&x, &mut score);
        assert_close(log, teacher.log_density(&x), 1e-14);
        let h = 1e-3;
        for i in 0..2 {
            let at = |k: f64| {
                let mut y = x;
                y[i] += k * h;
                teacher.log_density(&y)
            };
            let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
            assert_close(score[i], slope, 1e-10);
        }
    }
}

#[test]
fn denoiser_of_one_gaussian_is_wiener_filter() {
    let gaussian = GaussianMixture::on_line(&[(1.0, 0.5, 2.0)]).unwrap();
    let noised = gaussian.at(3.0).unwrap();
    for x in [-40.0, 0.0, 7.0] {
        assert_close(noised.denoised(&[x])[0], 0.5 + 2.0 / 11.0 * (x - 0.5), 1e-13);
    }
}

#[test]
fn far_tails_stay_finite() {
    let problem = ToyProblem::line();
    let (p, q) = (problem.teacher.at(0.1).unwrap(), problem.student().at(0.1).unwrap());
    for x in [-1e4, 1e4] {
        assert!(p.log_ratio(&q, &[x]).is_finite());
        assert!(p.score(&[x])[0].is_finite());
    }
}

#[test]
fn gauss_legendre_is_exact_for_polynomials() {
    for count in [1, 2, 5, 24, 80] {
        let degree = (2 * count - 1).min(30) as i32;
        let rule = gauss_legendre(count, -1.0, 2.0);
        let got: f64 = rule.iter().map(|(x, w)| w * x.powi(degree)).sum();
        let next = degree + 1;
        let want = (2f64.powi(next) - (-1f64).powi(next)) / f64::from(next);
        assert!((got / want - 1.0).abs() < 1e-13, "{count}: {got} {want}");
    }
}

#[test]
fn rejects_invalid_mixtures() {
    let part = |weight, mean: &[f64], covariance: &[f64]| Component {
        weight,
        mean: mean.to_vec(),
        covariance: covariance.to_vec(),
    };
    let table = [
        (vec![], "at least one"),
        (vec![part(0.0, &[0.0], &[1.0])], "component 0: its weight"),
        (vec![part(1.0, &[0.0], &[1.0]), part(1.0, &[f64::NAN], &[1.0])], "component 1: mean"),
        (vec![part(1.0, &[0.0, 1.0], &[1.0])], "[d, d]"),
        (vec![part(1.0, &[0.0, 1.0], &[1.0, 0.5, 0.4, 1.0])], "symmetric"),
    ];
    for (components, text) in table {
        let error = GaussianMixture::new(components).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    let point = GaussianMixture::on_line(&[(1.0, 0.0, 0.0)]).unwrap();
    assert!(point.at(0.0).unwrap_err().to_string().contains("positive definite"));
    assert!(point.at(0.5).is_ok());
    assert!(point.at(-1.0).unwrap_err().to_string().contains("sigma = -1"));
}
