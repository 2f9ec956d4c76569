//! Quantile maps against densities.

use super::assert_close;
use crate::SigmaDistribution;
use crate::normal::quantile;
use crate::quadrature::gauss_legendre;

const RAMP: SigmaDistribution =
    SigmaDistribution::KarrasRamp { min: 0.002, max: 80.0, rho: 7.0, t_max: 0.8 };
const LOG_NORMAL: SigmaDistribution = SigmaDistribution::LogNormal { mean: -1.2, std: 1.2 };
const LOG_UNIFORM: SigmaDistribution = SigmaDistribution::LogUniform { min: 0.01, max: 50.0 };

fn levels(steps: u32, first: u32, last: u32) -> SigmaDistribution {
    SigmaDistribution::UniformIndex { steps, first, last, min: 0.002, max: 80.0, rho: 7.0 }
}

#[test]
fn normal_quantiles_are_known() {
    // Python 3, statistics.NormalDist().inv_cdf, an implementation of the same accuracy.
    let table = [
        (1e-20, -9.262340089798405),
        (1e-6, -4.753424308822899),
        (0.01, -2.3263478740408408),
        (0.3, -0.5244005127080407),
        (0.5, 0.0),
        (0.9, 1.2815515655446008),
    ];
    for (p, x) in table {
        assert_close(quantile(p), x, 1e-15);
    }
    assert_eq!((quantile(0.0), quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
}

#[test]
fn density_is_the_derivative_of_the_inverse_map() {
    for distribution in [RAMP, LOG_NORMAL, LOG_UNIFORM] {
        for u in [0.05, 0.3, 0.5, 0.77, 0.98] {
            let h = 1e-4;
            let at = |k: f64| distribution.sigma(u + k * h);
            let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
            assert_close(distribution.density(distribution.sigma(u)) * slope, 1.0, 1e-6);
        }
    }
}

#[test]
fn densities_integrate_to_one() {
    for (distribution, low, high) in [
        (RAMP, 0.002, RAMP.support().1),
        (LOG_NORMAL, (-1.2f64 - 12.0).exp(), (-1.2f64 + 12.0).exp()),
        (LOG_UNIFORM, 0.01, 50.0),
    ] {
        let points = gauss_legendre(80, low.ln(), high.ln());
        let mass: f64 =
            points.iter().map(|(t, w)| w * t.exp() * distribution.density(t.exp())).sum();
        assert_close(mass, 1.0, 1e-12);
    }
}

#[test]
fn discrete_levels_are_karras_and_their_density_the_trapezoid_rule() {
    let distribution = levels(18, 3, 14);
    // EDM's formula, from the largest down.
    let karras = |i: u32| {
        let [high, low] = [80f64, 0.002].map(|x| x.powf(1.0 / 7.0));
        (high + f64::from(17 - i) / 17.0 * (low - high)).powi(7)
    };
    let drawn: Vec<f64> =
        (0..12).map(|i| distribution.sigma((f64::from(i) + 0.5) / 12.0)).collect();
    for (i, &sigma) in drawn.iter().enumerate() {
        assert_close(sigma, karras(i as u32 + 3), 1e-12);
    }
    assert_eq!((distribution.sigma(1e-12), distribution.sigma(1.0 - 1e-12)), (drawn[0], drawn[11]));
    // Σ (mass/density) g is the trapezoid rule on the levels, whatever g.
    let g = |s: f64| s.sin() + s;
    let weighed: f64 = drawn.iter().map(|&s| g(s) / distribution.density(s) / 12.0).sum();
    let rule: f64 = drawn.windows(2).map(|p| 0.5 * (p[1] - p[0]) * (g(p[0]) + g(p[1]))).sum();
    assert_close(weighed, rule, 1e-12);
}

#[test]
fn densities_vanish_outside_the_support() {
    for distribution in [RAMP, LOG_UNIFORM, levels(1000, 20, 980)] {
        let (low, high) = distribution.support();
        assert!(0.0 < distribution.density(low) && 0.0 < distribution.density(high));
        assert_eq!(
            (distribution.density(0.99 * low), distribution.density(1.01 * high)),
            (0.0, 0.0)
        );
    }
    assert_eq!(LOG_NORMAL.density(0.0), 0.0);
}

#[test]
fn rejects_invalid_distributions() {
    let nan = f64::NAN;
    let table = [
        (SigmaDistribution::LogNormal { mean: 0.0, std: 0.0 }, "std = 0"),
        (SigmaDistribution::LogNormal { mean: nan, std: 1.0 }, "mean = NaN"),
        (SigmaDistribution::LogUniform { min: 2.0, max: 1.0 }, "below max"),
        (SigmaDistribution::LogUniform { min: 0.0, max: 1.0 }, "min = 0"),
        (SigmaDistribution::KarrasRamp { min: 0.1, max: 1.0, rho: 7.0, t_max: 1.5 }, "t_max = 1.5"),
        (SigmaDistribution::KarrasRamp { min: 0.1, max: 1.0, rho: -7.0, t_max: 1.0 }, "rho = -7"),
        (levels(10, 0, 10), "last = 10 < steps = 10"),
        (levels(10, 5, 5), "first = 5 < last = 5"),
    ];
    for (distribution, part) in table {
        let error = distribution.validate("sigma_law").unwrap_err().to_string();
        assert!(error.starts_with("sigma_law: ") && error.contains(part), "{error}");
    }
    for distribution in [RAMP, LOG_NORMAL, LOG_UNIFORM, levels(1000, 20, 980)] {
        assert_eq!(distribution.validate("sigma_law"), Ok(()));
    }
}
