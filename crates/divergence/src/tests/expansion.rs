//! Theorem 3.1: a divergence is its remainder plus an integral of weighted Fisher divergences.

use super::family;
use super::toy::ToyProblem;
use crate::Divergence;
use crate::quadrature::{Grid, divergences, expansions};

/// The error allowed: Neyman's integrand `p²/q` has tails that the grid cuts.
fn tolerance(divergence: &Divergence) -> f64 {
    if *divergence == Divergence::NeymanChi2 { 1e-8 } else { 1e-10 }
}

fn assert_expansion(problem: &ToyProblem, sigma_max: f64, levels: usize, grid: &Grid) -> Vec<f64> {
    let family = family();
    let (p, q) = (&problem.teacher, &problem.student());
    let whole = divergences(&family, p, q, 0.0, grid).unwrap();
    let sum = expansions(&family, p, q, sigma_max, levels, grid).unwrap();
    for ((divergence, whole), sum) in family.iter().zip(&whole).zip(sum) {
        let error = (whole - sum).abs();
        assert!(
            1e-3 < *whole,
            "{divergence}: {whole} is too small for two different distributions"
        );
        assert!(error < tolerance(divergence), "{divergence}: {whole} {sum} {error:.1e}");
    }
    whole
}

#[test]
fn divergences_expand_on_the_line() {
    let grid = Grid { half_width: 40.0, points: 1601 };
    let whole = assert_expansion(&ToyProblem::line(), 3.0, 48, &grid);
    // Values of an independent computation (jax, float64).
    let known = [(0, 0.107730986715), (1, 0.151409026012), (3, 2.0 * 0.029438471512)];
    for (row, value) in known {
        assert!((whole[row] - value).abs() < 1e-11, "{row}: {} {value}", whole[row]);
    }
}

#[test]
fn divergences_expand_in_the_plane() {
    let grid = Grid { half_width: 18.0, points: 241 };
    assert_expansion(&ToyProblem::plane(), 2.0, 24, &grid);
}

/// A divergence that is given by its weight alone has the value of the named one.
#[test]
fn custom_divergences_have_the_value_of_their_weight() {
    let named = [Divergence::JensenShannon, Divergence::ForwardKl, Divergence::LeCam];
    let custom = named.each_ref().map(|it| Divergence::Custom(it.profile()));
    let problem = ToyProblem::line();
    let grid = Grid { half_width: 20.0, points: 401 };
    let of = |family: &[Divergence]| {
        divergences(family, &problem.teacher, &problem.student(), 0.5, &grid).unwrap()
    };
    for (got, want) in of(&custom).into_iter().zip(of(&named)) {
        assert!((got - want).abs() < 1e-11, "{got} {want}");
    }
}

#[test]
fn rejects_different_dimensions() {
    let grid = Grid { half_width: 1.0, points: 3 };
    let (line, plane) = (ToyProblem::line().teacher, ToyProblem::plane().teacher);
    let error = divergences(&family(), &line, &plane, 1.0, &grid).unwrap_err().to_string();
    assert!(error.contains("the teacher has 1 dimensions, the student 2"), "{error}");
}
