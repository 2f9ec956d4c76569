//! The published recipes: each resolves without its files, and has the values of the papers' programs.

use std::path::{Path, PathBuf};

use toml::Value;

use crate::program::{TEACHER, check, folder, folder_with_teacher, program};

const DATA_SETS: [&str; 3] = ["cifar10-uncond", "cifar10-cond", "imagenet64-cond"];
const METHODS: [&str; 9] = [
    "uni-instruct-rkl",
    "uni-instruct-fkl",
    "uni-instruct-jkl",
    "uni-instruct-rkl-fkl",
    "sid",
    "sida",
    "diff-instruct",
    "dmd2",
    "f-distill",
];

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn path(data: &str, method: &str) -> PathBuf {
    configs().join(data).join(format!("{method}.toml"))
}

/// Output of a dry run: the resolved configuration, and the notes.
fn dry_run(folder: impl AsRef<Path>, recipe: &Path) -> (Value, String) {
    let mut program = program(folder, "distill --dry-run");
    let output = program.arg(recipe).output().unwrap();
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {notes}", recipe.display());
    let text = String::from_utf8_lossy(&output.stdout);
    (Value::Table(text.parse().unwrap()), notes)
}

#[test]
fn every_recipe_resolves_without_its_files() {
    let folder = folder();
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(configs()).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            found.extend(std::fs::read_dir(entry).unwrap().map(|it| it.unwrap().path()));
        }
    }
    let mut expected: Vec<PathBuf> =
        DATA_SETS.iter().flat_map(|data| METHODS.iter().map(|it| path(data, it))).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for recipe in &found {
        let (config, notes) = dry_run(&folder, recipe);
        // EDM's counts (arXiv:2206.00364, Table 7): 55.7 and 295.9 million.
        let imagenet = recipe.to_string_lossy().contains("imagenet");
        let parameters = if imagenet { "generator      295899" } else { "generator      5573" };
        for part in [parameters, "not found", "discriminator", "activations", "total"] {
            assert!(notes.contains(part), "{}: no `{part}` in {notes}", recipe.display());
        }
        // The resolved configuration gives the same run.
        let resolved = folder.path().join("resolved.toml");
        std::fs::write(&resolved, toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(dry_run(&folder, &resolved).0, config, "{}", recipe.display());
    }
}

/// The value under a path of keys and indices, as in `--set`.
fn at<'a>(config: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(config, |value, key| match key.parse::<usize>() {
        Ok(index) => &value[index],
        Err(_) => &value[key],
    })
}

fn number(value: &Value) -> f64 {
    value.as_float().or_else(|| Some(value.as_integer()? as f64)).unwrap()
}

#[test]
fn recipes_have_the_settings_of_the_papers_programs() {
    let folder = folder();
    // Data set, method, images per update, step size, beta1, half-life in millions of images, input
    // level, fake updates, dropout.
    #[rustfmt::skip]
    let table = [
        ("cifar10-uncond", "sid", 256, 1e-5, 0.0, 0.5, 2.5, 1, 0.13),
        ("cifar10-cond", "sida", 256, 1e-5, 0.0, 0.5, 2.5, 1, 0.13),
        ("cifar10-cond", "uni-instruct-jkl", 256, 1e-5, 0.0, 0.5, 2.5, 1, 0.13),
        ("cifar10-uncond", "diff-instruct", 128, 1e-5, 0.0, 0.5, 1.0, 1, 0.13),
        ("cifar10-cond", "f-distill", 2048, 1e-4, 0.9, 14.195, 80.0, 5, 0.0),
        ("imagenet64-cond", "sid", 8192, 4e-6, 0.0, 2.0, 2.5, 1, 0.1),
        ("imagenet64-cond", "sida", 8192, 4e-6, 0.0, 2.0, 2.5, 1, 0.1),
        ("imagenet64-cond", "uni-instruct-fkl", 8192, 4e-6, 0.0, 2.0, 2.5, 1, 0.1),
        ("imagenet64-cond", "dmd2", 280, 2e-6, 0.9, 1e-6, 80.0, 5, 0.0),
        ("imagenet64-cond", "f-distill", 512, 2e-6, 0.9, 3.549, 80.0, 5, 0.0),
    ];
    for (data, method, images, rate, beta1, half_life, sigma_init, fake_updates, dropout) in table {
        let (config, _) = dry_run(&folder, &path(data, method));
        let last = at(&config, "phase").as_array().unwrap().len() - 1;
        let of_phase = |key: &str| number(at(&config, &format!("phase.{last}.method.{key}")));
        let shown = number(&config["batch"]) * number(&config["accumulation"]);
        assert_eq!(shown, f64::from(images), "{data} {method}");
        for part in ["generator", "fake"] {
            assert_eq!(number(&config[part]["learning_rate"]), rate, "{data} {method}");
            assert_eq!(number(&config[part]["beta1"]), beta1, "{data} {method}");
        }
        assert_eq!(number(&config["ema"]["half_life"]), half_life * 1e6, "{data} {method}");
        assert_eq!(of_phase("sigma_init"), sigma_init, "{data} {method}");
        assert_eq!(of_phase("fake_updates"), f64::from(fake_updates), "{data} {method}");
        assert_eq!(number(&config["dropout"]), dropout, "{data} {method}");
        assert_eq!(number(&config["fake_share"]), 0.0, "{data} {method}");
    }
}

#[test]
fn recipes_have_the_noise_levels_and_terms_of_the_papers_programs() {
    let folder = folder();
    let sid = dry_run(&folder, &path("cifar10-uncond", "sid")).0;
    assert_eq!(number(at(&sid, "phase.0.method.objective.sid.alpha")), 1.2);
    assert_eq!(number(at(&sid, "phase.0.method.sigma_law.karras-ramp.t_max")), 0.8);
    assert_eq!(number(at(&sid, "phase.0.method.fake_sigma_law.log-normal.mean")), -1.2);
    assert_eq!(number(&sid["augment"]), 0.12);
    assert_eq!(number(at(&sid, "phase.0.images")), 404e6);
    assert!(sid["fake"].get("clip_value").is_none());
    let dmd2 = dry_run(&folder, &path("imagenet64-cond", "dmd2")).0;
    for (key, expected) in [("first", 20.0), ("last", 980.0), ("steps", 1000.0), ("rho", 7.0)] {
        let levels = at(&dmd2, "phase.0.method.sigma_law.uniform-index");
        assert_eq!(number(&levels[key]), expected, "{key}");
    }
    // A norm of 10 of the gradient of a mean over 3·64² elements.
    assert_eq!(number(&dmd2["fake"]["clip_norm"]), 10.0 * 12288.0);
    assert_eq!(number(&dmd2["fake"]["weight_decay"]), 0.01);
    let gan = at(&dmd2, "phase.0.method.adversarial");
    assert_eq!(number(&gan["generator_weight"]), 3e-3);
    assert_eq!(number(&gan["discriminator_weight"]), 1e-2);
    let distill = dry_run(&folder, &path("imagenet64-cond", "f-distill")).0;
    assert_eq!(at(&distill, "phase.0.method.fake_weighting").as_str(), Some("uniform"));
    // Uni-Instruct: 100,000 images of fake score and discriminator, as many of score matching.
    let two = dry_run(&folder, &path("imagenet64-cond", "uni-instruct-rkl-fkl")).0;
    assert_eq!(number(&two["fake"]["clip_value"]), 1.0);
    let phases = two["phase"].as_array().unwrap();
    let divergences: Vec<_> =
        phases.iter().map(|it| it["method"]["divergence"].as_str().unwrap()).collect();
    assert_eq!(divergences, ["reverse-kl", "reverse-kl", "reverse-kl", "forward-kl"]);
    assert_eq!(phases[0]["train_generator"].as_bool(), Some(false));
    assert_eq!(number(at(&phases[1], "method.adversarial.generator_weight")), 0.0);
    assert_eq!([0, 1].map(|at| number(&phases[at]["images"])), [1e5, 1e5]);
    let jeffreys = dry_run(&folder, &path("cifar10-cond", "uni-instruct-jkl")).0;
    let divergence = at(&jeffreys, "phase.2.method.divergence").as_str();
    assert_eq!(divergence, Some("jeffreys(0.6,0.4)"));
}

/// A network of 8x8 images, as a value for `--set`.
const TINY: &str = "architecture={img_resolution=8,img_channels=1,label_dim=2,augment_dim=9,\
                    architecture={kind=\"song\",model_channels=8,channel_mult=[1,2],num_blocks=1,\
                    attn_resolutions=[]}}";

#[test]
fn a_recipe_runs_a_smoke_test_without_its_files() {
    let folder = folder();
    for method in ["uni-instruct-rkl-fkl", "f-distill"] {
        let recipe = path("cifar10-cond", method);
        let words = format!("distill {} --smoke --set {TINY}", recipe.display());
        check(
            &folder,
            &words,
            0,
            &["random weights", "using images of noise", "phase 1", "Norm/generator"],
        );
    }
    assert!(!folder.path().join("runs").exists(), "a smoke test keeps nothing");
}

#[test]
fn missing_files_are_an_error_that_says_how_to_make_them() {
    let folder = folder();
    let recipe = path("imagenet64-cond", "sid");
    let name = "edm-imagenet-64x64-cond-adm";
    let convert = format!("`uni-instruct convert {name}.pkl --out {name}.safetensors");
    let words = format!("distill {}", recipe.display());
    check(&folder, &words, 4, &[&convert, "imagenet64-adm-cond", "cannot read"]);
    assert!(!folder.path().join("runs").exists());
    // Without `architecture`, a missing teacher cannot be described.
    std::fs::write(folder.path().join("own.toml"), "teacher = \"absent.safetensors\"\n").unwrap();
    for words in ["distill own.toml", "distill own.toml --smoke", "distill own.toml --dry-run"] {
        check(&folder, words, 4, &["absent.safetensors: cannot read"]);
    }
}

#[test]
fn rejects_teacher_of_another_architecture() {
    let folder = folder_with_teacher();
    let recipe = path("cifar10-cond", "sid");
    let words = format!("distill {} --teacher teacher.safetensors --dry-run", recipe.display());
    let expected = ["teacher.safetensors", "cifar10-ddpmpp-cond", "img_resolution is 8, not 32"];
    check(&folder, &words, 3, &expected);
    // The same architecture, written in full, fits.
    let network = TEACHER.split("[network]").nth(1).unwrap();
    let network = network.replace("[network.architecture]", "[architecture.architecture]");
    let text = std::fs::read_to_string(folder.path().join("distill.toml")).unwrap();
    let own = format!("{text}\n[architecture]{network}");
    std::fs::write(folder.path().join("own.toml"), own).unwrap();
    check(&folder, "distill own.toml --smoke --eval-images 0", 0, &["4 images,"]);
    // An existing teacher needs its images in a run, and no images in a smoke test.
    check(&folder, "distill own.toml --data gone", 4, &["data `gone`"]);
    check(&folder, "distill own.toml --data gone --smoke", 0, &["using images of noise"]);
}
