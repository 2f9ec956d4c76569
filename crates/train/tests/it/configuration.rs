//! Parsing of configurations: accepted and rejected files, overrides, round trips.

use divergence::{Divergence, Method, Objective};

use uni_instruct_train::{Config, Error, config::LogConfig};

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse("run.toml", text, &[])
}

/// The full chain of an error, as the command line prints it.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        text += &format!(": {err}");
        source = err.source();
    }
    text
}

#[track_caller]
fn check_rejected(text: &str, overrides: &[&str], expected: &[&str]) {
    let overrides: Vec<String> = overrides.iter().map(|&it| it.into()).collect();
    let err = Config::parse("run.toml", text, &overrides).expect_err("must be rejected");
    let message = chain(&err);
    for part in expected {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn an_empty_file_is_the_default_run() {
    assert_eq!(parse("").unwrap(), Config::default());
}

#[test]
fn resolved_configurations_round_trip() {
    for row in divergence::presets() {
        let text = format!("[[phase]]\npreset = \"{}\"\nimages = 1000\n", row.name);
        let config = parse(&text).unwrap();
        assert_eq!(config.phase[0].method, row.method);
        assert_eq!(parse(&config.to_toml()).unwrap(), config, "{}", row.name);
    }
}

#[test]
fn a_phase_changes_its_preset() {
    let config = parse(
        "[[phase]]\npreset = \"sid\"\nalpha = 0.75\n\
         [[phase]]\npreset = \"f-distill\"\ndivergence = \"js\"\nmethod.fake_updates = 3\n",
    )
    .unwrap();
    assert_eq!(config.phase[0].method.objective, Objective::Sid { alpha: 0.75 });
    assert_eq!(config.phase[1].method.divergence, Divergence::JensenShannon);
    assert_eq!(config.phase[1].method.fake_updates.get(), 3);
}

#[test]
fn short_keys_change_a_method_given_in_full() {
    let full = parse("[[phase]]\npreset = \"sid\"\nimages = 1000\n").unwrap().to_toml();
    let same = "phase.0.method.divergence=js";
    let overrides = ["phase.0.divergence=js", same, "phase.0.method.objective.sid.alpha=0.5"];
    let config = Config::parse("run.toml", &full, &overrides.map(String::from)).unwrap();
    check_rejected(&full, &["phase.0.divergence=js"], &["`divergence` is given twice"]);
    check_rejected(&full, &["phase.0.alpha=0.5"], &["`alpha` is given twice"]);
    let expected = Method {
        divergence: Divergence::JensenShannon,
        objective: Objective::Sid { alpha: 0.5 },
        ..divergence::preset("sid").unwrap().method.clone()
    };
    assert_eq!(config.phase[0].method, expected);
}

#[test]
fn false_switches_off_parts_of_a_method() {
    let config = parse(
        "[[phase]]\npreset = \"dmd2\"\nmethod.adversarial = false\n\
         [[phase]]\npreset = \"dmd\"\nmethod.regression = false\n\
         [[phase]]\nmethod.sigma_init = 1.5\n",
    )
    .unwrap();
    assert_eq!(config.phase[0].method.adversarial, None);
    assert_eq!(config.phase[1].method.regression, None);
    // Without a preset, changes apply to the default one.
    let default = divergence::preset("uni-instruct").unwrap().method.clone();
    assert_eq!(config.phase[2].method, Method { sigma_init: 1.5, ..default });
    check_rejected("[[phase]]\nmethod.adversarial = {}", &[], &["`adversarial` is an empty table"]);
}

#[test]
fn overrides_reach_the_default_phase() {
    let overrides = ["phase.0.images=640", "phase.0.preset=sid"].map(String::from);
    let config = Config::parse("run.toml", "batch = 8", &overrides).unwrap();
    assert_eq!((config.phase.len(), config.phase[0].images), (1, 640));
    assert_eq!(config.phase[0].method, divergence::preset("sid").unwrap().method);
}

#[test]
fn errors_name_line_key_and_choices() {
    check_rejected("batch = 0", &[], &["run.toml", "line 1", "batch = 0", "nonzero"]);
    check_rejected("seed = 1\nbach = 64", &[], &["line 2", "unknown field `bach`", "`batch`"]);
    check_rejected("ema.half_life = -1.0", &[], &["-1 is not a positive number"]);
    check_rejected("dropout = 1.0", &[], &["1 is not in [0, 1)"]);
    check_rejected("[[phase]]\npreset = \"sidd\"", &[], &["no method named `sidd`", "sid", "dmd2"]);
    check_rejected("[[phase]]\ndivergence = \"klx\"", &[], &["klx", "forward-kl"]);
    check_rejected("[[phase]]\nalpha = 1.0", &[], &["the method has no alpha"]);
    check_rejected("[[phase]]\nmethod.speed = 1", &[], &["speed"]);
    check_rejected("", &["batch"], &["--set batch", "key.path=value"]);
    check_rejected("", &["ema.half_life=2", "ema.half_life.x=1"], &["half_life"]);
    check_rejected("[[phase]]\nimages = 1", &["phase.1.images=5"], &["phase.1.images", "no such"]);
}

#[test]
fn overrides_reach_every_depth() {
    let overrides = ["batch=8", "generator.learning_rate=2e-4", "phase.0.images=640", "data=x/y"];
    let text = "[[phase]]\npreset = \"dmd2\"\n";
    let config = Config::parse("run.toml", text, &overrides.map(String::from)).unwrap();
    assert_eq!(config.batch.get(), 8);
    assert_eq!(config.generator.learning_rate.get(), 2e-4);
    assert_eq!(config.phase[0].images, 640);
    assert_eq!(config.data, "x/y");
}

#[test]
fn the_fingerprint_ignores_logging_only() {
    let config = Config::default();
    let logs = Config {
        log: LogConfig { tick: 1, samples: 2, checkpoint: 3, low_advantage_ticks: 4 },
        ..config.clone()
    };
    assert_eq!(config.fingerprint(), logs.fingerprint());
    let seeded = Config { seed: 1, ..config.clone() };
    assert_ne!(config.fingerprint(), seeded.fingerprint());
}

/// A checkpoint resumes only under its fingerprint, so the fingerprint of a configuration stays the
/// same for ever. This one was computed by version 0.1 and stands in the student's own file.
#[test]
fn fingerprints_are_those_of_version_0_1() {
    let text = include_str!("../../../../assets/fashion-mnist-student/config.resolved.toml");
    let config = parse(text).unwrap();
    assert_eq!(config.fingerprint(), "b431ec50329512b8");
    assert_eq!(config.phase[0].method.objective, Objective::Integral);
    assert_eq!(config.phase[1].method.objective, Objective::Exact { clip: 0.1 });
    assert_eq!(config.to_toml(), text);
}

#[test]
fn older_and_newer_keys_of_a_method_mean_the_same() {
    let method = |text: &str| parse(&format!("[[phase]]\n{text}")).unwrap().phase[0].method.clone();
    let clip = |clip| Objective::Exact { clip };
    assert_eq!(method("method.ratio.correction_clip = 1").objective, clip(1.0));
    assert_eq!(method("method.objective.exact.clip = 1").objective, clip(1.0));
    assert_eq!(method("preset = \"sid\"\nmethod.objective = \"exact\"").objective, clip(0.1));
    let exact = "preset = \"sid\"\nmethod.objective = { exact = { clip = \"inf\" } }";
    assert_eq!(method(exact).objective, clip(f64::INFINITY));
    let levels = "log-uniform = { min = 0.5, max = 2.0 }";
    assert_eq!(
        method(&format!("method.sigma_distribution.{levels}")),
        method(&format!("method.sigma_law.{levels}")),
    );
    assert_eq!(
        method(&format!("method.fake_sigma_distribution.{levels}")),
        method(&format!("method.fake_sigma_law.{levels}")),
    );
    check_rejected(
        "[[phase]]\nmethod = { objective.exact.clip = 1, ratio.correction_clip = 2 }",
        &[],
        &["objective.exact.clip", "is 1", "is 2", "give one"],
    );
}

#[test]
fn phases_follow_one_another() {
    let config = parse(
        "[[phase]]\nimages = 100\ntrain_generator = false\n\
         [[phase]]\nimages = 50\npreset = \"sid\"\n",
    )
    .unwrap();
    assert_eq!(config.images(), 150);
    for (images, expected) in [(0, 0), (99, 0), (100, 1), (149, 1), (150, 1), (999, 1)] {
        assert_eq!(config.phase_at(images).unwrap().0, expected, "{images}");
    }
}

#[test]
fn smoke_tests_cut_each_phase_to_two_small_updates() {
    let text = "batch = 32\naccumulation = 8\n[[phase]]\nimages = 1000\n[[phase]]\nimages = 5\n";
    let smoke = parse(text).unwrap().smoke(2);
    assert_eq!((smoke.batch.get(), smoke.accumulation.get()), (2, 2));
    assert_eq!(smoke.phase.iter().map(|phase| phase.images).collect::<Vec<_>>(), [8, 8]);
    let one = parse("batch = 1").unwrap().smoke(2);
    assert_eq!((one.batch.get(), one.accumulation.get(), one.images()), (1, 1, 2));
}

#[test]
fn an_architecture_is_a_name_or_a_table() {
    let config = parse("architecture = \"cifar10-ddpmpp-cond\"").unwrap();
    assert_eq!(config.architecture.as_ref().unwrap().network().label_dim, 10);
    assert!(config.to_toml().contains("architecture = \"cifar10-ddpmpp-cond\""));
    assert_eq!(parse(&config.to_toml()).unwrap(), config);
    let table = "[architecture]\nimg_resolution = 8\nimg_channels = 1\n\
                 architecture = { kind = \"song\", model_channels = 8, channel_mult = [1, 2] }";
    let config = parse(table).unwrap();
    assert_eq!(config.architecture.as_ref().unwrap().network().img_resolution, 8);
    assert_eq!(parse(&config.to_toml()).unwrap(), config);
    check_rejected(
        "architecture = \"adm\"",
        &[],
        &["no network named `adm`", "imagenet64-adm-cond"],
    );
    let odd = table.replace("img_resolution = 8", "img_resolution = 9");
    check_rejected(&odd, &[], &["img_resolution"]);
}
