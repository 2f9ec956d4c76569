//! Tests of the whole crate: identities, tables, closed-form toy problems.

mod calibration;
mod cumulative;
mod expansion;
mod family;
mod forms;
mod gradient;
mod jet;
mod methods;
mod mixtures;
mod names;
mod ratios;
mod sigma_distributions;
mod tensors;
mod toy;

use proptest::prelude::*;

use crate::{Divergence, Profile};

/// Every row of the family, and a mixture of three.
fn family() -> Vec<Divergence> {
    let mut family = Divergence::NAMED.to_vec();
    family.push(Divergence::Alpha(0.3));
    family.push("0.5*forward-kl+0.3*jensen-shannon+0.2*le-cam".parse().unwrap());
    family
}

/// Any divergence. The two removable singularities of Amari's family are included by hand, because a
/// random parameter never hits them.
fn any_divergence() -> impl Strategy<Value = Divergence> {
    let single = || {
        prop_oneof![
            prop::sample::select(Divergence::NAMED.to_vec()),
            (-2.0..3.0).prop_map(Divergence::Alpha),
            prop_oneof![Just(0.0), Just(1.0)].prop_map(Divergence::Alpha),
            (0.0..2.0, 0.01..2.0)
                .prop_map(|(reverse, forward)| Divergence::Jeffreys { reverse, forward }),
            (0.01..5.0, -2.0..2.0, 0u32..2, 0u32..2).prop_map(|(c, a, m, n)| (Profile::term(
                c, a, m, n
            ) + Profile::term(
                1.0, 0.5, 1, 1
            ))
            .into()),
        ]
    };
    let mixture = prop::collection::vec((0.01..5.0, single()), 1..4).prop_map(Divergence::Mixture);
    prop_oneof![3 => single(), 1 => mixture]
}

#[track_caller]
fn assert_close(got: f64, want: f64, tolerance: f64) {
    let error = (got - want).abs() / (1.0 + want.abs());
    assert!(error < tolerance, "got {got}, want {want}, error {error:.2e} over {tolerance:.0e}");
}

/// `|got - want| / |want|`, in the Euclidean norm.
fn relative_error(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|it| it * it).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied())
}
