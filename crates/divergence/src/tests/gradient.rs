//! The theorem itself: the autodiff gradient of the surrogate, networks frozen, is the gradient of
//! the divergence, everything live.

use candle_core::Tensor;

use super::forms::EXACT;
use super::toy::ToyProblem;
use super::{family, relative_error};
use crate::quadrature::{Grid, divergences, fisher_divergences, gauss_legendre};
use crate::{
    Divergence, Method, Objective, RatioWeights, SigmaDistribution, SurrogateInputs, Weighting,
    surrogate,
};

/// Wide and fine enough for every noise level used here.
pub(super) const LINE: Grid = Grid { half_width: 24.0, points: 1201 };
const PLANE: Grid = Grid { half_width: 10.0, points: 121 };

/// No clip, and a weight that depends on nothing.
fn method(objective: Objective, divergence: Divergence) -> Method {
    Method { objective, divergence, weighting: Weighting::Uniform, ..Method::default() }
}

/// `h`, κ₁ and κ₂ at the true log-ratio, not normalized.
pub(super) fn true_weights(
    divergence: &Divergence,
    log_ratio: &Tensor,
) -> candle_core::Result<RatioWeights> {
    let profile = divergence.profile();
    let (kappa1, kappa2) = profile.kappas(log_ratio)?;
    Ok(RatioWeights { weight: profile.log_weight(log_ratio)?.exp()?, kappa1, kappa2 })
}

/// The expected gradient of the method's surrogate for each divergence.
pub(super) fn surrogate_gradients(
    problem: &ToyProblem,
    sigma: f64,
    methods: &[Method],
) -> Vec<Vec<f64>> {
    let losses = |inputs: &SurrogateInputs<'_>, log_ratio: &Tensor| {
        let loss = |it: &Method| surrogate(it, inputs, &true_weights(&it.divergence, log_ratio)?);
        methods.iter().map(loss).collect()
    };
    problem.expected_gradients(sigma, losses).unwrap()
}

fn methods(objective: Objective) -> Vec<Method> {
    family().into_iter().map(|it| method(objective, it)).collect()
}

/// Exact: the surrogate is `σ⁴/2` of the score form.
fn assert_exact(problem: &ToyProblem, sigma: f64, grid: &Grid) {
    let want = problem.differences(|problem| {
        fisher_divergences(&family(), &problem.teacher, &problem.student(), sigma, grid).unwrap()
    });
    let got = surrogate_gradients(problem, sigma, &methods(EXACT));
    for ((divergence, want), got) in family().iter().zip(want).zip(got) {
        let got: Vec<f64> = got.iter().map(|it| 2.0 * sigma.powi(-4) * it).collect();
        let error = relative_error(&got, &want);
        assert!(error < 1e-6, "{divergence} at {sigma}: {error:.1e}\n{got:?}\n{want:?}");
    }
}

#[test]
fn exact_surrogate_has_the_gradient_of_the_expanded_divergence_on_the_line() {
    for sigma in [0.1, 0.5, 2.0] {
        assert_exact(&ToyProblem::line(), sigma, &LINE);
    }
}

#[test]
fn exact_surrogate_has_the_gradient_of_the_expanded_divergence_in_the_plane() {
    assert_exact(&ToyProblem::plane(), 0.7, &PLANE);
}

/// `∇ D_f(q_σ‖p_σ) = E[h δ·dx]`: the integral objective, with `Δ = σ² δ`.
fn assert_integral(problem: &ToyProblem, sigma: f64, grid: &Grid) {
    let want = problem.differences(|problem| {
        divergences(&family(), &problem.teacher, &problem.student(), sigma, grid).unwrap()
    });
    let got = surrogate_gradients(problem, sigma, &methods(Objective::Integral));
    for ((divergence, want), got) in family().iter().zip(want).zip(got) {
        let got: Vec<f64> = got.iter().map(|it| it / (sigma * sigma)).collect();
        let error = relative_error(&got, &want);
        assert!(error < 1e-6, "{divergence} at {sigma}: {error:.1e}\n{got:?}\n{want:?}");
    }
}

#[test]
fn integral_surrogate_has_the_gradient_of_the_divergence_at_its_level() {
    assert_integral(&ToyProblem::line(), 0.5, &LINE);
    assert_integral(&ToyProblem::plane(), 0.7, &PLANE);
}

/// The two weightings of σ in the theory, compared: with σ from a distribution and weights `σ⁻³/π`, the surrogate descends half of the divergence between the ends.
#[test]
fn theory_weights_sum_to_the_divergence_for_any_distribution() {
    let problem = ToyProblem::line();
    let ends = (0.3, 3.0);
    let want = problem.differences(|problem| {
        let at = |sigma| {
            divergences(&family(), &problem.teacher, &problem.student(), sigma, &LINE).unwrap()
        };
        at(ends.0).into_iter().zip(at(ends.1)).map(|(low, high)| 0.5 * (low - high)).collect()
    });
    let distributions = [
        SigmaDistribution::KarrasRamp { min: ends.0, max: ends.1, rho: 7.0, t_max: 1.0 },
        SigmaDistribution::LogUniform { min: ends.0, max: ends.1 },
    ];
    for distribution in distributions {
        let weigh =
            |it: Method| Method { sigma_law: distribution, weighting: Weighting::Theory, ..it };
        let methods: Vec<_> = methods(EXACT).into_iter().map(weigh).collect();
        let mut got = vec![vec![0.0; problem.parameters.len()]; methods.len()];
        for (u, weight) in gauss_legendre(16, 0.0, 1.0) {
            let level = surrogate_gradients(&problem, distribution.sigma(u), &methods);
            for (sum, level) in got.iter_mut().flatten().zip(level.into_iter().flatten()) {
                *sum += weight * level;
            }
        }
        for ((divergence, want), got) in family().iter().zip(&want).zip(&got) {
            let error = relative_error(got, want);
            assert!(error < 1e-6, "{divergence}: {error:.1e}");
        }
    }
}

/// Forward KL of a Gaussian student is least where its moments are the teacher's, at every level.
#[test]
fn forward_kl_rests_at_the_matched_moments() {
    let teacher = ToyProblem::gaussian_student(0.0, 1.0).teacher;
    let (mean, std) = (teacher.mean()[0], teacher.covariance()[0].sqrt());
    let exact = method(EXACT, Divergence::ForwardKl);
    let sim = method(Objective::Sid { alpha: 1.0 }, Divergence::ForwardKl);
    for sigma in [0.2, 1.0, 5.0] {
        let methods = [exact.clone(), sim.clone()];
        let size = |problem: ToyProblem| -> Vec<f64> {
            let gradients = surrogate_gradients(&problem, sigma, &methods);
            gradients.iter().map(|it| it[0].hypot(it[1])).collect()
        };
        let rest = size(ToyProblem::gaussian_student(mean, std));
        let nearby = size(ToyProblem::gaussian_student(mean, 1.05 * std));
        assert!(rest[0] < 1e-9 * nearby[0], "at {sigma}: {rest:?} {nearby:?}");
        // Score matching weighed by the ratio alone does not rest there.
        assert!(1e-3 * nearby[0] < rest[1], "at {sigma}: {rest:?} {nearby:?}");
    }
}
