//! The weights against every derivative of `f` and of `F`, and against the table by hand.

use proptest::prelude::*;

use super::jet::Jet;
use super::{any_divergence, assert_close, family};
use crate::{Divergence, Profile};

/// `h`, `dh/du` and `d²h/du²` in terms of `f`: `r f''`, and `r d/dr` of it, once and twice.
fn weights_of_f(divergence: &Divergence, u: f64) -> [f64; 3] {
    let r = u.exp();
    let f = divergence.f_in(Jet::variable(r));
    let [f2, f3, f4] = [2, 3, 4].map(|k| f.derivative(k) * r.powi(k as i32 - 1));
    [f2, f2 + f3, f2 + 3.0 * f3 + f4]
}

/// The same in terms of `F`: `ρ² F''`, and `-ρ d/dρ` of it, once and twice.
fn weights_of_dual_f(divergence: &Divergence, u: f64) -> [f64; 3] {
    let rho = (-u).exp();
    let f = divergence.dual_f_in(Jet::variable(rho));
    let [f2, f3, f4] = [2, 3, 4].map(|k| f.derivative(k) * rho.powi(k as i32));
    [f2, -(2.0 * f2 + f3), 4.0 * f2 + 5.0 * f3 + f4]
}

fn weights_of_profile(profile: &Profile, l: f64) -> [f64; 3] {
    let h = profile.eval(l);
    [h, profile.kappa1(l) * h, profile.kappa2(l) * h]
}

proptest! {
    /// Three tables written independently (`f`, `F`, `h`) must agree through two identities, with
    /// the two slopes of `h` on top.
    #[test]
    fn weights_are_the_derivatives_of_both_generators(d in any_divergence(), l in -4.0..4.0_f64) {
        let got = weights_of_profile(&d.profile(), l);
        let size = got.into_iter().fold(1.0, |size: f64, it| size.max(it.abs()));
        let from_f = weights_of_f(&d, -l);
        let from_dual = weights_of_dual_f(&d, -l);
        // Near a of 0 or 1 Amari's generators lose digits in their fourth derivatives.
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * size * (1.0 + l.abs().exp());
        for k in 0..3 {
            prop_assert!(close(got[k], from_f[k]), "f, derivative {k}: {got:?} {from_f:?}");
            prop_assert!(close(got[k], from_dual[k]), "F, derivative {k}: {got:?} {from_dual:?}");
        }
    }

    #[test]
    fn dual_generator_is_the_perspective(d in any_divergence(), l in -4.0..4.0_f64) {
        let rho = l.exp();
        assert_close(d.dual_f(rho), rho * d.f(rho.recip()), 1e-12);
        assert_close(d.f(1.0), 0.0, 1e-14);
    }

    /// The log-domain slopes against the algebra of terms.
    #[test]
    fn slopes_are_ratios_of_derivatives(d in any_divergence(), l in -30.0..30.0) {
        let h = d.profile();
        let (h1, h2) = (h.derivative(), h.derivative().derivative());
        let log = h.log_eval(l);
        assert_close(log, h.eval(l).ln(), 1e-12);
        let scale = (-log).exp();
        assert_close(h.kappa1(l), -h1.eval(l) * scale, 1e-11);
        assert_close(h.kappa2(l), h2.eval(l) * scale, 1e-11);
    }

    /// h, κ₁ and κ₂ are what the exact loss and Form 3 need; κ's stay bounded out to 1e4.
    #[test]
    fn slopes_are_bounded_far_out(d in any_divergence(), l in -1e4..1e4) {
        let h = d.profile();
        prop_assert!(h.log_eval(l).is_finite());
        prop_assert!(h.kappa1(l).abs() <= 3.0 + 1e-9 && h.kappa2(l).abs() <= 9.0 + 1e-9);
    }
}

/// The same identities at points of a grid, at the precision that the formulas allow.
#[test]
fn weights_are_the_derivatives_of_both_generators_to_1e_12() {
    for d in family() {
        for step in -24..=24 {
            let l = f64::from(step) / 8.0;
            let got = weights_of_profile(&d.profile(), l);
            for want in [weights_of_f(&d, -l), weights_of_dual_f(&d, -l)] {
                let size = want.into_iter().fold(1.0, |size: f64, it| size.max(it.abs()));
                for (got, want) in got.into_iter().zip(want) {
                    assert_close(got / size, want / size, 1e-12);
                }
            }
        }
    }
}

/// κ₁, κ₂ and h as theory writes them, in `s`, `ρ` and the parameters.
#[test]
fn table_of_slopes() {
    type Row = fn(f64, f64) -> [f64; 3];
    let jeffreys_share = |rho: f64| 0.4 * rho / (0.6 + 0.4 * rho);
    #[rustfmt::skip]
    let table: [(&str, Row); 10] = [
        // divergence              (ρ, s) ↦ [h, κ₁, κ₂]
        ("reverse-kl",             |_, _| [1.0, 0.0, 0.0]),
        ("forward-kl",             |rho, _| [rho, -1.0, 1.0]),
        ("jensen-shannon",         |_, s| [s, -(1.0 - s), (1.0 - s) * (1.0 - 2.0 * s)]),
        ("softened-reverse-kl",    |_, s| [1.0 - s, s, s * (2.0 * s - 1.0)]),
        ("pearson-chi2",           |rho, _| [2.0 / rho, 1.0, 1.0]),
        ("neyman-chi2",            |rho, _| [2.0 * rho * rho, -2.0, 4.0]),
        ("squared-hellinger",      |rho, _| [0.5 * rho.sqrt(), -0.5, 0.25]),
        ("alpha(0.3)",             |rho, _| [rho.powf(0.7), -0.7, 0.49]),
        ("alpha(2)",               |rho, _| [rho.recip(), 1.0, 1.0]),
        ("le-cam",                 |_, s| [8.0 * s * s * (1.0 - s), 3.0 * s - 2.0, 4.0 - 15.0 * s + 12.0 * s * s]),
    ];
    for l in [-2.0, -0.5, 0.0, 0.7, 3.0_f64] {
        let (rho, s) = (l.exp(), l.exp() / (1.0 + l.exp()));
        for (name, row) in table {
            let h = name.parse::<Divergence>().unwrap().profile();
            for (got, want) in [h.eval(l), h.kappa1(l), h.kappa2(l)].into_iter().zip(row(rho, s)) {
                assert_close(got, want, 1e-14);
            }
        }
        let jeffreys = "jkl".parse::<Divergence>().unwrap().profile();
        assert_close(jeffreys.eval(l), 0.6 + 0.4 * rho, 1e-14);
        assert_close(jeffreys.kappa1(l), -jeffreys_share(rho), 1e-14);
        assert_close(jeffreys.kappa2(l), jeffreys_share(rho), 1e-14);
    }
}

#[test]
fn members_of_amaris_family_are_the_named_ones() {
    let pairs = [("alpha(1)", "rkl", 1.0), ("alpha(0)", "fkl", 1.0), ("alpha(2)", "pearson", 0.5)];
    let more = [("alpha(-1)", "neyman", 0.5), ("alpha(0.5)", "hellinger", 2.0)];
    for (alpha, name, factor) in pairs.into_iter().chain(more) {
        let [alpha, named] = [alpha, name].map(|it| it.parse::<Divergence>().unwrap());
        for r in [0.1_f64, 0.9, 1.0, 3.0] {
            // Generators agree up to a multiple of r - 1, which has no expectation.
            let slope = |d: &Divergence| d.f_in(Jet::variable(1.0)).derivative(1);
            let centered = |d: &Divergence| d.f(r) - slope(d) * (r - 1.0);
            assert_close(centered(&alpha), factor * centered(&named), 1e-13);
            assert_close(alpha.profile().eval(r), factor * named.profile().eval(r), 1e-13);
        }
    }
    // The removable singularities are removed.
    for a in [1e-9, -1e-9, 1.0 - 1e-9, 1.0 + 1e-9_f64] {
        let (near, at) = (Divergence::Alpha(a), Divergence::Alpha(a.round()));
        assert_close(near.f(2.5), at.f(2.5), 1e-8);
    }
}

#[test]
fn profiles_simplify_and_detect_constants() {
    let s = Profile::term(1.0, 0.0, 1, 0);
    let rest = Profile::term(1.0, 0.0, 0, 1);
    assert_eq!((s.clone() + s.clone()).terms().len(), 1);
    assert_eq!(s.clone() + s.scaled(-1.0), Profile::default());
    assert!(Divergence::ReverseKl.profile().is_constant());
    // s + (1-s) = 1: Jensen-Shannon and softened reverse KL add up to reverse KL.
    assert!((s.clone() + rest).is_constant());
    assert!(Divergence::Jeffreys { reverse: 1.0, forward: 0.0 }.profile().is_constant());
    for d in family().into_iter().filter(|it| *it != Divergence::ReverseKl) {
        assert!(!d.profile().is_constant(), "{d}");
    }
}
