//! Divergences as text.

use proptest::prelude::*;

use super::any_divergence;
use crate::{Divergence, Error, Profile};

proptest! {
    #[test]
    fn text_and_back(d in any_divergence()) {
        prop_assert_eq!(d.to_string().parse::<Divergence>(), Ok(d.clone()));
        let json = serde_json::to_string(&d).unwrap();
        prop_assert_eq!(&json, &format!("\"{d}\""));
        prop_assert_eq!(serde_json::from_str::<Divergence>(&json).unwrap(), d);
    }
}

#[test]
fn aliases_spaces_and_case() {
    let jeffreys = |reverse, forward| Divergence::Jeffreys { reverse, forward };
    let table = [
        ("rkl", Divergence::ReverseKl),
        ("FKL", Divergence::ForwardKl),
        ("Reverse-KL", Divergence::ReverseKl),
        ("forward_kl", Divergence::ForwardKl),
        ("jkl", jeffreys(0.6, 0.4)),
        ("jeffreys ( 1, 2.5 )", jeffreys(1.0, 2.5)),
        ("js", Divergence::JensenShannon),
        ("sf", Divergence::SoftenedReverseKl),
        ("amari(-0.4)", Divergence::Alpha(-0.4)),
        (
            " 0.5 * fkl + 2*alpha(-1) ",
            Divergence::Mixture(vec![(0.5, Divergence::ForwardKl), (2.0, Divergence::Alpha(-1.0))]),
        ),
        (
            "rkl+js",
            Divergence::Mixture(vec![
                (1.0, Divergence::ReverseKl),
                (1.0, Divergence::JensenShannon),
            ]),
        ),
    ];
    let exponents = [
        ("1E+2*js", vec![(100.0, Divergence::JensenShannon)]),
        (
            "1e+0*js+2.5e+1 * rkl+1e-1*fkl",
            vec![
                (1.0, Divergence::JensenShannon),
                (25.0, Divergence::ReverseKl),
                (0.1, Divergence::ForwardKl),
            ],
        ),
        (
            "alpha(1e+0)+alpha(+0.5)",
            vec![(1.0, Divergence::Alpha(1.0)), (1.0, Divergence::Alpha(0.5))],
        ),
    ]
    .map(|(text, parts)| (text, Divergence::Mixture(parts)));
    let own = Profile::term(2.0, -0.5, 1, 1) + Profile::term(1.0, 0.0, 0, 0);
    let profiles = [
        ("profile(2, -0.5, 1, 1; 1, 0, 0, 0)", Divergence::Custom(own.clone())),
        (
            "0.5*profile(2,-5e-1,1,1;1e+0,0,0,0)+js",
            Divergence::Mixture(vec![
                (0.5, Divergence::Custom(own)),
                (1.0, Divergence::JensenShannon),
            ]),
        ),
        ("alpha(+1)", Divergence::Alpha(1.0)),
    ];
    for (text, want) in table.into_iter().chain(exponents).chain(profiles) {
        assert_eq!(text.parse::<Divergence>(), Ok(want), "{text}");
    }
    for d in Divergence::NAMED {
        let info = d.info();
        for alias in info.aliases.iter().chain([&info.name]) {
            let text = if info.name == "alpha" { format!("{alias}(0.5)") } else { (*alias).into() };
            assert_eq!(text.parse::<Divergence>(), Ok(d.clone()));
        }
    }
}

#[test]
fn errors_list_the_accepted_names() {
    let table = [
        ("kld", "there are reverse-kl, forward-kl, jeffreys(reverse,forward)"),
        ("", "there are reverse-kl"),
        ("mixture", "there are reverse-kl"),
        ("chi2", "neyman-chi2 is E_student"),
        ("alpha", "takes one number"),
        ("alpha(x)", "\"x\" is not a number"),
        ("alpha(1", "parenthesis"),
        ("alpha(nan)", "must lie in"),
        ("alpha(1e9)", "must lie in"),
        ("js(1)", "takes no parameters"),
        ("jeffreys(1)", "two weights"),
        ("jeffreys(0,0)", "not both 0"),
        ("jeffreys(-1,2)", "from 0 to 1e30"),
        ("-1*fkl", "weight -1 is not in (0, 1e30]"),
        ("0*fkl", "weight 0 is not in (0, 1e30]"),
        ("1e308*js+1e308*js", "is not in (0, 1e30]"),
        ("profile(1e31,0,0,0)", "is not in (0, 1e30]"),
        ("jeffreys(1e31,1)", "from 0 to 1e30"),
        ("two*fkl", "\"two\" is not a number"),
        ("0.5*", "there are reverse-kl"),
        ("js+", "there are reverse-kl"),
        ("1e+js", "there are reverse-kl"),
        ("profile", "four numbers"),
        ("profile(1,2,3)", "four numbers"),
        ("profile(1,0,-1,0)", "\"-1\" is not a whole number"),
        ("profile(1,x,0,0)", "\"x\" is not a number"),
        ("profile(-1,0,0,0)", "coefficient -1 is not in (0, 1e30]"),
        ("profile(0,0,0,0)", "at least one term"),
        ("profile(1,1e9,0,0)", "powers of the ratio"),
        ("profile(1,0,1000,0)", "powers of s"),
    ];
    for (text, part) in table {
        let error = text.parse::<Divergence>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let serde = serde_json::from_str::<Divergence>("\"kld\"").unwrap_err().to_string();
    assert!(serde.contains("no divergence is called \"kld\""), "{serde}");
}

#[test]
fn mixtures_unfold() {
    let inner: Divergence = "2*fkl+1*js".parse().unwrap();
    let outer = Divergence::mixture([(0.5, inner.clone()), (1.0, Divergence::LeCam)]).unwrap();
    assert_eq!(outer.to_string(), "1*forward-kl+0.5*jensen-shannon+1*le-cam");
    let nested = Divergence::Mixture(vec![(1.0, inner)]);
    assert!(matches!(nested.validate(), Err(Error::InvalidDivergence { .. })));
    assert!(Divergence::mixture([]).is_err());
}
