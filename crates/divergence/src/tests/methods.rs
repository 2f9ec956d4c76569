//! Methods as data: presets, files, and invalid combinations.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::family;
use crate::{
    Adversarial, CumulativeWeight, Distance, Divergence, FakeScoreSource, FakeWeighting, Frechet,
    Method, Objective, PathConfig, RatioConfig, RatioEstimator, Regression, Reward,
    SigmaDistribution, Weighting, preset, presets,
};

#[test]
fn presets_are_valid_and_round_trip() {
    for it in presets() {
        assert_eq!(it.method.validate(), Ok(()), "{}", it.name);
        let json = serde_json::to_string(&it.method).unwrap();
        assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), it.method, "{json}");
        let toml = toml::to_string(&it.method).unwrap();
        assert_eq!(toml::from_str::<Method>(&toml).unwrap(), it.method, "{toml}");
        assert!(preset(it.name).is_some_and(|found| found == it));
        assert!(!it.summary.is_empty() && !it.formula.is_empty() && !it.paper.title.is_empty());
        let (year, number) = it.paper.arxiv.split_once('.').unwrap();
        assert!(year.len() == 4 && number.len() == 5, "{}", it.paper.arxiv);
    }
    assert_eq!(preset("dmd3"), None);
}

#[test]
fn presets_are_complete() {
    let names: Vec<_> = presets().iter().map(|it| it.name).collect();
    let wanted = [
        "uni-instruct",
        "uni-instruct-integral",
        "uni-instruct-paper",
        "diff-instruct",
        "dmd",
        "dmd2",
        "f-distill",
        "sim",
        "sid",
        "sida",
        "sid-few-step",
        "di-star",
        "di-bregman",
        "sds",
        "vsd",
    ];
    assert_eq!(names.iter().collect::<BTreeSet<_>>(), wanted.iter().collect());
    assert_eq!(names.len(), wanted.len());
}

#[test]
fn table_of_what_presets_need() {
    #[rustfmt::skip]
    let table = [
        // preset               ratio  disc.  fake   ∇ in  per update
        ("uni-instruct",       [true,  true,  true,  true ], 1),
        ("uni-instruct-integral", [true, false, true, false], 1),
        ("uni-instruct-paper", [true,  true,  true,  true ], 1),
        ("diff-instruct",      [false, false, true,  false], 1),
        ("dmd",                [false, false, true,  false], 1),
        ("dmd2",               [false, true,  true,  false], 5),
        ("f-distill",          [true,  true,  true,  false], 5),
        ("sim",                [false, false, true,  true ], 1),
        ("sid",                [false, false, true,  true ], 1),
        ("sida",               [false, true,  true,  true ], 1),
        ("sid-few-step",       [false, false, true,  true ], 1),
        ("di-star",            [false, false, true,  true ], 1),
        ("di-bregman",         [true,  true,  true,  false], 1),
        ("sds",                [false, false, false, false], 1),
        ("vsd",                [false, false, true,  false], 1),
    ];
    for (name, needs, updates) in table {
        let it = &preset(name).unwrap().method;
        let got = [
            it.needs_ratio(),
            it.needs_discriminator(),
            it.needs_fake_score(),
            it.needs_input_gradient(),
        ];
        assert_eq!(got, needs, "{name}");
        assert_eq!(it.fake_updates.get(), updates, "{name}");
    }
    let method = |name| &preset(name).unwrap().method;
    assert!(method("dmd").regression.is_some());
    assert!(method("di-star").reward.is_some());
    assert_eq!(method("sid-few-step").steps.get(), 4);
    // Which estimators and terms take real images besides the discriminator's.
    let images = |estimator, frechet| {
        let ratio = RatioConfig { estimator, ..RatioConfig::default() };
        Method { ratio, frechet, ..Method::default() }.needs_real_images()
    };
    use RatioEstimator::{Constant, Path, PathCalibrated, Permuted, Regressed};
    for (estimator, expected) in [
        (Path, false),
        (Permuted, false),
        (Constant, false),
        (PathCalibrated, true),
        (Regressed, true),
    ] {
        assert_eq!(images(estimator, None), expected, "{estimator:?}");
        assert!(images(estimator, Some(Frechet { weight: 1.0, queue: 9 })));
    }
}

/// The ranges of the published repositories, from the distributions themselves.
#[test]
fn presets_have_the_published_noise_levels() {
    let distribution = |name: &str| preset(name).unwrap().method.sigma_law;
    for name in ["uni-instruct", "uni-instruct-paper", "sim", "sid", "sida"] {
        let (low, high) = distribution(name).support();
        assert!((low - 0.002).abs() < 1e-12 && (high - 24.41).abs() < 0.01, "{name}");
        assert_eq!(preset(name).unwrap().method.sigma_init, 2.5);
    }
    for name in ["dmd", "dmd2", "f-distill"] {
        let (low, high) = distribution(name).support();
        assert!(0.002 < low && low < 0.004 && 70.0 < high && high < 80.0, "{name}: {low} {high}");
        assert_eq!(preset(name).unwrap().method.sigma_init, 80.0);
    }
    assert!((distribution("diff-instruct").sigma(0.5) - (-1.2f64).exp()).abs() < 1e-12);
}

#[test]
fn every_divergence_fits_every_method_that_weighs() {
    for it in presets() {
        for divergence in family() {
            let needs_ratio = !divergence.profile().is_constant();
            let method = Method { divergence, ..it.method.clone() };
            let allowed = method.fake_score == FakeScoreSource::Trained || !needs_ratio;
            assert_eq!(method.validate().is_ok(), allowed, "{} {}", it.name, method.divergence);
            assert_eq!(method.needs_ratio(), needs_ratio);
        }
    }
}

#[test]
fn rejects_invalid_combinations() {
    let base = Method::default;
    let ratio = |ratio: RatioConfig| Method { ratio, ..base() };
    let usual = RatioConfig::default();
    let sim = Objective::Sid { alpha: 1.0 };
    let huber = |c| Distance::PseudoHuber { c };
    let gan = |g, d| Some(Adversarial { generator_weight: g, discriminator_weight: d });
    let instance = FakeScoreSource::Instance;
    let nested = Divergence::Mixture(vec![(1.0, Divergence::Mixture(vec![]))]);
    let integral = |weighting| Method { weighting, objective: Objective::Integral, ..base() };
    let table = |rows: &[[f64; 2]]| Weighting::Cumulative(CumulativeWeight::Table(rows.to_vec()));
    let path_ratio = RatioConfig { estimator: RatioEstimator::Path, ..usual };
    let calibrated = RatioConfig { estimator: RatioEstimator::PathCalibrated, ..usual };
    let path = |path: PathConfig| ratio(RatioConfig { path, ..path_ratio });
    #[rustfmt::skip]
    let cases = [
        (Method { divergence: nested, ..base() }, "divergence"),
        (Method { objective: Objective::Sid { alpha: f64::NAN }, ..base() }, "objective.sid.alpha"),
        (Method { distance: huber(0.1), ..base() }, "distance: pseudo-huber"),
        (Method { distance: huber(0.1), objective: Objective::Sid { alpha: 1.2 }, ..base() }, "distance: pseudo-huber"),
        (Method { distance: huber(0.0), objective: sim, ..base() }, "distance.pseudo-huber.c"),
        (Method { sigma_law: SigmaDistribution::LogUniform { min: 1.0, max: 1.0 }, ..base() }, "sigma_law"),
        (Method { fake_sigma_law: SigmaDistribution::LogNormal { mean: 0.0, std: -1.0 }, ..base() }, "fake_sigma_law"),
        (Method { weighting: Weighting::Gaussian { variance: 0.0 }, ..base() }, "weighting.gaussian"),
        (Method { weighting: Weighting::Theory, objective: Objective::Integral, ..base() }, "weighting: theory"),
        (Method { fake_score: instance, ..base() }, "fake_score"),
        (Method { fake_score: instance, objective: Objective::Integral, ..base() }, "fake_score"),
        (Method { adversarial: gan(1.0, 1.0), ..preset("sds").unwrap().method.clone() }, "adversarial: "),
        (ratio(RatioConfig { clamp: f64::INFINITY, normalize_batch: false, ..usual }), "ratio.clamp"),
        (Method { weighting: table(&[[0.1, 0.0], [1.0, 1.0]]), ..base() }, "weighting: cumulative"),
        (integral(table(&[[0.1, 0.0]])), "weighting.cumulative: table needs"),
        (integral(table(&[[0.1, 0.0], [1.0, -1.0]])), "weighting.cumulative: a cumulative weight must not decrease"),
        (integral(table(&[[1.0, 0.0], [0.1, 1.0]])), "weighting.cumulative: the noise levels of table must increase, but 0.1 follows 1"),
        (integral(table(&[[0.0, 0.0], [0.1, 1.0]])), "weighting.cumulative: a noise level of table = 0"),
        (integral(table(&[[0.1, f64::NAN], [1.0, 1.0]])), "weighting.cumulative: table has the weight NaN"),
        (integral(table(&[[0.1, 1.0], [1.0, 1.0]])), "weighting.cumulative: it does not grow"),
        (integral(table(&[[100.0, 1.0], [200.0, 2.0]])), "weighting.cumulative: it does not grow"),
        (integral(Weighting::Cumulative(CumulativeWeight::Theory { sigma: 90.0 })), "weighting.cumulative: it does not grow"),
        (integral(Weighting::Cumulative(CumulativeWeight::Sid { variance: -1.0 })), "weighting.cumulative: sid.variance"),
        (Method { frechet: Some(Frechet { weight: 0.0, queue: 99 }), ..base() }, "frechet.weight"),
        (Method { frechet: Some(Frechet { weight: 1.0, queue: 1 }), ..base() }, "frechet.queue: 1"),
        (Method { reward: Some(Reward { weight: -1.0 }), ..base() }, "reward.weight"),
        (Method { steps: NonZeroU32::new(65).unwrap(), ..base() }, "steps: must be at most 64"),
        (Method { steps: NonZeroU32::new(2).unwrap(), ..preset("dmd").unwrap().method.clone() }, "regression: it pairs"),
        (Method { fake_score: instance, objective: Objective::Integral, ..ratio(calibrated) }, "ratio.estimator: a path integral needs"),
        (path(PathConfig { strata: 0, ..PathConfig::default() }), "ratio.path.strata: 0"),
        (path(PathConfig { every: 0, ..PathConfig::default() }), "ratio.path.every"),
        (path(PathConfig { end: f64::NAN, ..PathConfig::default() }), "ratio.path.end"),
        (path(PathConfig { min: 3.0, ..PathConfig::default() }), "ratio.path: min = 3, max = 3"),
        (path(PathConfig { max: 90.0, ..PathConfig::default() }), "ratio.path: "),
        (path(PathConfig { min: 40.0, max: 50.0, ..PathConfig::default() }), "ratio.path: its noise levels 40 to 50"),
        (Method { ratio: path_ratio, ..preset("sds").unwrap().method.clone() }, "ratio.estimator"),
        (ratio(RatioConfig { recalibrate: true, bins: 0, ..usual }), "ratio.recalibrate"),
        (Method { adversarial: gan(-1.0, 1.0), ..base() }, "adversarial.generator_weight"),
        (Method { adversarial: gan(1.0, 0.0), ..base() }, "adversarial.discriminator_weight"),
        (Method { adversarial: gan(1.0, f64::INFINITY), ..base() }, "adversarial.discriminator_weight"),
        (Method { regression: Some(Regression { weight: -1.0 }), ..base() }, "regression.weight"),
        (Method { sigma_init: 0.0, ..base() }, "sigma_init"),
        (ratio(RatioConfig { clamp: f64::NAN, ..usual }), "ratio.clamp"),
        (ratio(RatioConfig { clamp: 0.0, ..usual }), "ratio.clamp"),
        (ratio(RatioConfig { clamp: 100.0, normalize_batch: false, ..usual }), "ratio.clamp: weights"),
        (ratio(RatioConfig { temper: f64::INFINITY, ..usual }), "ratio.temper"),
        (ratio(RatioConfig { bin_decay: 1.0, ..usual }), "ratio.bin_decay"),
        (ratio(RatioConfig { bins: 1_000_000, ..usual }), "ratio.bins"),
        (Method { objective: Objective::Exact { clip: -1.0 }, ..base() }, "objective.exact.clip"),
        (Method { objective: Objective::Exact { clip: f64::NAN }, ..base() }, "objective.exact.clip"),
    ];
    Method { adversarial: gan(0.0, 1.0), ..base() }.validate().unwrap();
    for (method, part) in cases {
        let error = method.validate().unwrap_err().to_string();
        assert!(error.starts_with(part), "{part}: {error}");
    }
}

#[test]
fn estimators_and_cumulative_weights_parse_from_files() {
    let text = r#"
        objective = "integral"
        weighting = { cumulative = { table = [[0.05, 0], [3.0, 1.5]] } }
        ratio = { estimator = "path", recalibrate = true, path = { strata = 2, every = 3 } }
    "#;
    let method: Method = toml::from_str(text).unwrap();
    let rows = vec![[0.05, 0.0], [3.0, 1.5]];
    assert_eq!(method.weighting, Weighting::Cumulative(CumulativeWeight::Table(rows)));
    assert_eq!(method.ratio.estimator, RatioEstimator::Path);
    assert!(method.ratio.recalibrate);
    let path = PathConfig { strata: 2, every: 3, ..PathConfig::default() };
    assert_eq!(method.ratio.path, path);
    method.validate().unwrap();
    // The whole method comes back from its text.
    let written = toml::to_string(&method).unwrap();
    assert_eq!(toml::from_str::<Method>(&written).unwrap(), method, "{written}");
    for (text, part) in [
        ("ratio.estimator = \"paths\"", "unknown variant `paths`"),
        ("ratio.path.stratum = 3", "unknown field `stratum`"),
        ("weighting = { cumulative = \"sids\" }", "unknown variant `sids`"),
    ] {
        let error = toml::from_str::<Method>(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn methods_parse_from_files() {
    let text = r#"
        divergence = "0.5*fkl+0.5*js"
        weighting = "theory"
        objective = { sid = { alpha = 1.2 } }
        fake_weighting = "uniform"
        sigma_law = { log-uniform = { min = 0.01, max = 50 } }

        [ratio]
        clamp = "inf"
        correction_clip = inf
    "#;
    let method: Method = toml::from_str(text).unwrap();
    assert_eq!(method.objective, Objective::Sid { alpha: 1.2 });
    assert_eq!(method.weighting, Weighting::Theory);
    assert_eq!(method.fake_weighting, FakeWeighting::Uniform);
    assert_eq!(method.sigma_law, SigmaDistribution::LogUniform { min: 0.01, max: 50.0 });
    assert_eq!(method.ratio.clamp, f64::INFINITY);
    // What is left out keeps the values of the exact Uni-Instruct.
    assert_eq!(method.fake_sigma_law, Method::default().fake_sigma_law);
    assert_eq!(toml::from_str::<Method>("").unwrap(), Method::default());
    // Infinity survives JSON, which has none.
    let json = serde_json::to_string(&method).unwrap();
    assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), method);

    for (text, part) in [
        ("objectiv = \"exact\"", "unknown field `objectiv`"),
        ("objective = \"sid2\"", "unknown variant `sid2`"),
        ("objective = { sid = { alpha = 1.0, beta = 2.0 } }", "beta"),
        ("divergence = \"kld\"", "no divergence is called \"kld\""),
        ("[ratio]\nclamp = \"many\"", "a number or \"inf\""),
        ("[ratio]\nclip = 1", "unknown field `clip`"),
        ("objective = \"sid\"", "sid needs its alpha"),
        ("objective = { integral = { alpha = 1 } }", "integral has no options"),
        ("objective = { exact = { clip = \"none\" } }", "a number or \"inf\""),
        ("objective = { exact = {}, sid = { alpha = 1.0 } }", "one objective"),
        ("objective = 3", "an objective: \"exact\""),
        ("objective.exact.clip = 1\nratio.correction_clip = 2", "its older name, is 2; give one"),
        ("fake_updates = 0", "nonzero"),
    ] {
        let error = toml::from_str::<Method>(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// The text of version 0.1: it parses to the same method and is written without a change.
#[test]
fn methods_keep_their_form_in_files() {
    let text = r#"objective = "exact"
divergence = "forward-kl"
distance = "squared"
fake_score = "trained"
weighting = "per-sample"
fake_updates = 1
sigma_init = 2.5

[sigma_law.karras-ramp]
min = 0.002
max = 80.0
rho = 7.0
t_max = 0.8

[fake_sigma_law.log-normal]
mean = -1.2
std = 1.2

[ratio]
clamp = 3.0
temper = 1.0
bins = 10
bin_decay = 0.999
normalize_batch = true
correction_clip = 0.1
"#;
    assert_eq!(toml::from_str::<Method>(text).unwrap(), Method::default());
    assert_eq!(toml::to_string(&Method::default()).unwrap(), text);
    // Other objectives keep the key, which they do not use.
    let sid = toml::to_string(&preset("sid").unwrap().method).unwrap();
    assert!(sid.contains("correction_clip = 0.1"), "{sid}");

    let clip = |text: &str| toml::from_str::<Method>(text).unwrap().objective;
    for (text, want) in [
        ("objective = \"exact\"\nratio.correction_clip = 1", 1.0),
        ("ratio.correction_clip = \"inf\"", f64::INFINITY),
        ("ratio.correction_clip = inf", f64::INFINITY),
        ("objective = { exact = { clip = 0.5 } }", 0.5),
        ("objective = { exact = { clip = 0.5 } }\nratio.correction_clip = 0.5", 0.5),
        ("objective = { exact = {} }\nratio.correction_clip = 0.25", 0.25),
        ("objective = \"exact\"", 0.1),
        ("", 0.1),
    ] {
        assert_eq!(clip(text), Objective::Exact { clip: want }, "{text}");
    }
    let levels: Method = toml::from_str(
        "sigma_distribution.log-uniform = { min = 1, max = 2 }\n\
         fake_sigma_distribution.log-uniform = { min = 3, max = 4 }",
    )
    .unwrap();
    assert_eq!(levels.sigma_law, SigmaDistribution::LogUniform { min: 1.0, max: 2.0 });
    assert_eq!(levels.fake_sigma_law, SigmaDistribution::LogUniform { min: 3.0, max: 4.0 });
}
