//! What works: each verb, and runs that are stopped and go on.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::program::{check, folder, folder_with_teacher, program};

#[test]
fn a_teacher_becomes_a_generator_that_makes_images() {
    let folder = folder_with_teacher();
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &["32 images,"]);
    for name in ["config.resolved.toml", "provenance.json", "stats.jsonl", "generator.safetensors"]
    {
        assert!(folder.path().join("run").join(name).exists(), "{name}");
    }
    let expected = ["student", "CC0-1.0", "sigma_init", "parameters"];
    check(&folder, "inspect run/generator.safetensors", 0, &expected);
    check(&folder, "inspect teacher.safetensors --json", 0, &["\"kind\": \"teacher\""]);
    check(&folder, "sample run/generator.safetensors --count 4 --out a.png", 0, &["a.png"]);
    check(&folder, "sample run/generator.safetensors --count 4 --out b.png", 0, &[]);
    check(&folder, "sample teacher.safetensors --count 2 --steps 2 --class 1 --out c", 0, &[]);
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("a.png"), read("b.png"), "the same seed gives the same images");
    assert!(folder.path().join("c/000001.png").exists());
}

#[test]
fn data_free_and_smoke_runs_work() {
    let folder = folder_with_teacher();
    let words = "distill distill.toml --out run --smoke --eval-images 0 --method uni-instruct \
                 --data teacher-samples --set teacher_steps=2";
    check(&folder, words, 0, &["samples of the teacher", "8 images,"]);
    let dry = check(&folder, "distill distill.toml --dry-run", 0, &["parameters"]);
    assert!(String::from_utf8_lossy(&dry.stdout).contains("[phase.method"));
    assert!(!folder.path().join("runs").exists(), "a dry run writes nothing");
}

#[test]
fn lists_sets_and_completions_print() {
    let folder = folder();
    let json = check(&folder, "list --json", 0, &[]);
    let all: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let methods = all["methods"].as_array().unwrap();
    assert!(methods.iter().any(|row| row["name"] == "f-distill"));
    check(&folder, "list", 0, &["jensen-shannon", "arXiv:2505.20755"]);
    check(&folder, "dataset check fashion-mnist", 0, &["10000", "Ankle boot"]);
    check(&folder, "dataset build digits --out digits.zip", 0, &["digits.zip"]);
    check(&folder, "dataset check digits.zip --json", 0, &["\"images\":12"]);
    check(&folder, "completions bash", 0, &["uni-instruct"]);
}

#[test]
fn every_embedded_run_resolves() {
    let folder = folder();
    for name in ["fashion-mnist", "fashion-mnist-full"] {
        let words = format!("distill --preset {name} --dry-run");
        check(&folder, &words, 0, &["parameters of each network", "sigma_init = 2.5"]);
    }
}

/// Waits until a file is there.
fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "{} never came", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupted(signal: &str) -> (tempfile::TempDir, Option<i32>) {
    let folder = folder_with_teacher();
    let long = "distill distill.toml --out run --eval-images 0 --set phase.0.images=4000000 \
                --set log.checkpoint=16";
    let mut child =
        program(&folder, long).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&folder.path().join("run/checkpoints/000000000016.safetensors"));
    let pid = child.id().to_string();
    let killed = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(killed.success());
    let code = child.wait().unwrap().code();
    (folder, code)
}

#[test]
fn a_run_goes_on_after_sigterm() {
    let (folder, code) = interrupted("-TERM");
    assert_eq!(code, Some(143));
    let again = "distill distill.toml --out run --eval-images 0 --minutes 0.0001 \
                 --set phase.0.images=4000000 --set log.checkpoint=16";
    check(&folder, again, 0, &["going on after"]);
}

#[test]
fn a_run_goes_on_after_it_was_killed() {
    let (folder, code) = interrupted("-KILL");
    assert_eq!(code, None);
    let again = "distill distill.toml --out run --eval-images 0 --minutes 0.0001 \
                 --set phase.0.images=4000000 --set log.checkpoint=16";
    check(&folder, again, 0, &["going on after"]);
}
