//! The integral objective with the derivative of a cumulative weight against the exact objective.

use super::forms::EXACT;
use super::gradient::{LINE, surrogate_gradients};
use super::toy::ToyProblem;
use super::{family, relative_error};
use crate::quadrature::{divergences, gauss_legendre};
use crate::{CumulativeWeight, Method, Objective, SigmaDistribution, Weighting};

const ENDS: (f64, f64) = (0.3, 3.0);
const VARIANCE: f64 = 1.5;

/// SiD's noise levels between the ends.
fn ramp() -> SigmaDistribution {
    SigmaDistribution::KarrasRamp { min: ENDS.0, max: ENDS.1, rho: 7.0, t_max: 1.0 }
}

/// The expected gradients of these methods over their noise levels.
fn gradients(problem: &ToyProblem, methods: &[Method]) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; problem.parameters.len()]; methods.len()];
    for (u, weight) in gauss_legendre(24, 0.0, 1.0) {
        let level = surrogate_gradients(problem, methods[0].sigma_law.sigma(u), methods);
        for (sum, level) in sums.iter_mut().flatten().zip(level.into_iter().flatten()) {
            *sum += weight * level;
        }
    }
    sums
}

fn methods(objective: Objective, weighting: &Weighting, levels: SigmaDistribution) -> Vec<Method> {
    family()
        .into_iter()
        .map(|divergence| Method {
            objective,
            divergence,
            weighting: weighting.clone(),
            sigma_law: levels,
            ..Method::default()
        })
        .collect()
}

/// `W(σ)` of SiD by its definition.
fn sid(sigma: f64, levels: &SigmaDistribution) -> f64 {
    let omega = (2.0 / std::f64::consts::PI).sqrt()
        * (VARIANCE * sigma * sigma / (sigma * sigma + VARIANCE)).sqrt();
    levels.density(sigma) * sigma.powi(3) / (2.0 * omega)
}

/// `∫ W σ E_q[h |δ|²] dσ = ∫ w D_f dσ - W(S) D_f(S) + W(s) D_f(s)` on `[s, S]`: the exact objective
/// with SiD's weights is the integral one with `w = W'`, up to the boundary terms.
#[test]
fn integral_of_sids_weight_has_the_gradient_of_the_exact_objective_up_to_the_boundary() {
    let problem = ToyProblem::line();
    let gaussian = Weighting::Gaussian { variance: VARIANCE };
    let want = gradients(&problem, &methods(EXACT, &gaussian, ramp()));
    let cumulative = Weighting::Cumulative(CumulativeWeight::Sid { variance: VARIANCE });
    let got = gradients(&problem, &methods(Objective::Integral, &cumulative, ramp()));
    // The density of the cut ramp is that of SiD's whole ramp up to a factor.
    let whole = SigmaDistribution::KarrasRamp { min: 0.002, max: 80.0, rho: 7.0, t_max: 0.8 };
    let scale = ramp().density(1.0) / whole.density(1.0);
    let boundary = problem.differences(|problem| {
        let at = |sigma| {
            divergences(&family(), &problem.teacher, &problem.student(), sigma, &LINE).unwrap()
        };
        let [low, high] = [ENDS.0, ENDS.1].map(|sigma| sid(sigma, &ramp()));
        at(ENDS.0).into_iter().zip(at(ENDS.1)).map(|(s, l)| low * s - high * l).collect()
    });
    for (i, divergence) in family().iter().enumerate() {
        let sum: Vec<f64> =
            got[i].iter().zip(&boundary[i]).map(|(got, end)| scale * got + end).collect();
        let error = relative_error(&sum, &want[i]);
        assert!(error < 1e-6, "{divergence}: {error:.1e}\n{sum:?}\n{:?}", want[i]);
    }
}

/// For any weight and any density of the noise levels, it descends `∫ w(σ) D_f(q_σ‖p_σ) dσ`.
#[test]
fn every_cumulative_weight_descends_its_integral_of_divergences() {
    let problem = ToyProblem::line();
    let table = vec![[ENDS.0, 0.5], [ENDS.1, 2.5]];
    let log_uniform = SigmaDistribution::LogUniform { min: ENDS.0, max: ENDS.1 };
    for weight in [
        CumulativeWeight::Flat,
        CumulativeWeight::Table(table),
        CumulativeWeight::Sid { variance: VARIANCE },
    ] {
        let want = problem.differences(|problem| {
            let mut sums = vec![0.0; family().len()];
            for (u, share) in gauss_legendre(24, 0.0, 1.0) {
                let sigma = log_uniform.sigma(u);
                let width = (ENDS.1 / ENDS.0).ln() * share * weight.per_log_sigma(sigma);
                let level =
                    divergences(&family(), &problem.teacher, &problem.student(), sigma, &LINE);
                sums.iter_mut().zip(level.unwrap()).for_each(|(sum, it)| *sum += width * it);
            }
            sums
        });
        for levels in [ramp(), log_uniform] {
            let weighting = Weighting::Cumulative(weight.clone());
            let got = gradients(&problem, &methods(Objective::Integral, &weighting, levels));
            for ((divergence, want), got) in family().iter().zip(&want).zip(&got) {
                let error = relative_error(got, want);
                assert!(error < 1e-6, "{divergence}, {weight:?}: {error:.1e}");
            }
        }
    }
}

#[test]
fn weights_are_derivatives_of_their_cumulative_weight() {
    let whole = SigmaDistribution::KarrasRamp { min: 0.002, max: 80.0, rho: 7.0, t_max: 0.8 };
    let weight = CumulativeWeight::Sid { variance: VARIANCE };
    for sigma in [0.01, 0.3, 1.0, 5.0, 20.0] {
        let step = 1e-4f64;
        let slope =
            (sid(sigma * step.exp(), &whole) - sid(sigma * (-step).exp(), &whole)) / (2.0 * step);
        let got = weight.per_log_sigma(sigma);
        assert!((got / slope - 1.0).abs() < 1e-7, "{sigma}: {got} {slope}");
    }
    // The step of the theory's weight has the height 1.
    let theory = CumulativeWeight::Theory { sigma: 0.4 };
    let height: f64 = gauss_legendre(400, 0.1f64.ln(), 2f64.ln())
        .into_iter()
        .map(|(log, width)| width * theory.per_log_sigma(log.exp()))
        .sum();
    assert!((height - 1.0).abs() < 0.02, "{height}");
    let table = CumulativeWeight::Table(vec![[0.1, 0.0], [0.4, 2.0], [0.8, 2.0], [1.6, 3.0]]);
    let expected = [(0.05, 0.0), (0.2, 2.0), (0.5, 0.0), (1.0, 1.0), (1.6, 0.0), (9.0, 0.0)];
    for (sigma, rise) in expected {
        let factor = if (0.1..0.4).contains(&sigma) { 4f64.ln() } else { 2f64.ln() };
        assert!((table.per_log_sigma(sigma) - rise / factor).abs() < 1e-12, "{sigma}");
    }
}
