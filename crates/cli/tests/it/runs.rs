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
    let words = "distill distill.toml --smoke --eval-images 0 --method uni-instruct \
                 --data teacher-samples --set teacher_steps=2";
    check(&folder, words, 0, &["samples of the teacher", "8 images,"]);
    let dry = check(&folder, "distill distill.toml --dry-run", 0, &["parameters"]);
    assert!(String::from_utf8_lossy(&dry.stdout).contains("[phase.method"));
    assert!(!folder.path().join("runs").exists(), "a dry run writes nothing");
}

#[test]
fn settings_change_what_options_chose() {
    let folder = folder();
    let words = "distill --preset fashion-mnist-full --method dmd --divergence js --dry-run \
                 --set phase.1.method.sigma_init=7.5 --set phase.0.method.sigma_init=7.5";
    let dry = check(&folder, words, 0, &[]);
    let text = String::from_utf8_lossy(&dry.stdout);
    for (line, times) in
        [("sigma_init = 7.5", 2), ("[phase.method.regression]", 2), ("\"jensen-shannon\"", 2)]
    {
        assert_eq!(text.matches(line).count(), times, "`{line}` in:\n{text}");
    }
}

#[test]
fn a_teacher_starts_from_another() {
    let folder = folder_with_teacher();
    let words = "teacher train teacher.toml --out again --set init=teacher.safetensors \
                 --set images=0";
    check(&folder, words, 0, &[]);
    check(&folder, "teacher export again --out again.safetensors --licence CC0-1.0", 0, &[]);
    let tensors = |name: &str| {
        let file = models::TensorFile::load(folder.path().join(name)).unwrap();
        let flat = |it: &candle_core::Tensor| it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        file.tensors.values().flat_map(flat).collect::<Vec<_>>()
    };
    assert_eq!(tensors("teacher.safetensors"), tensors("again.safetensors"));
    check(&folder, "inspect again.safetensors", 0, &["init           teacher.safetensors"]);
    let other = "teacher train teacher.toml --out third --set init=teacher.safetensors \
                 --set network.label_dim=3";
    check(&folder, other, 3, &[]);
    let wider = "teacher train teacher.toml --out third --set init=teacher.safetensors \
                 --set network.architecture.model_channels=16";
    check(&folder, wider, 3, &["init: it holds another network"]);
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
fn the_embedded_run_ends_with_figures() {
    let folder = folder();
    // A folder of the embedded set's name is not what is meant.
    std::fs::create_dir(folder.path().join("fashion-mnist")).unwrap();
    let words = "distill --out run --eval-images 40 --set batch=4 --set phase.0.images=8";
    check(&folder, words, 0, &["| student | 1 |", "| teacher | 35 |", "against 10000"]);
    let run = folder.path().join("run");
    let rows = std::fs::read(run.join("results.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert!(rows.as_array().unwrap().iter().all(|row| 0.0 < row["report"]["fd"].as_f64().unwrap()));
    assert!(run.join("grid.png").exists() && run.join("results.md").exists());
    let eval = "eval run/generator.safetensors --count 20";
    check(&folder, &format!("{eval} --require fd>0.001"), 0, &["| student | 1 |"]);
    check(&folder, &format!("{eval} --require fd<0.001"), 6, &["required fd<0.001, measured"]);
    let verify = "teacher verify fashion-mnist --count 20";
    check(&folder, &format!("{verify} --max-fd 0.001"), 6, &["no go: FD is", "licence     MIT"]);
    check(&folder, &format!("{verify} --max-fd 1e9 --json"), 0, &["\"go\": true", "trivial"]);

    let words = "distill --smoke --set batch=16 --data teacher-samples --method sida";
    check(&folder, words, 0, &["against the teacher's samples", "| student | 1 |", "against 16"]);
    check(&folder, &format!("{words} --eval-data fashion-mnist"), 0, &["against 10000"]);
    assert!(!folder.path().join("runs").exists(), "a smoke test keeps nothing");
}

#[test]
fn a_feature_network_is_trained_and_measured() {
    let folder = folder();
    let config = "data = \"fashion-mnist\"\npad = 2\nimages = 16\nbatch = 8\n";
    std::fs::write(folder.path().join("features.toml"), config).unwrap();
    check(&folder, "features train features.toml --out run", 0, &["16 images,"]);
    let words = "features export run --out net.safetensors --licence MIT";
    check(&folder, words, 0, &["net.safetensors: accuracy"]);
    let eval = "eval fashion-mnist --steps 1 --count 10 --features net.safetensors";
    check(&folder, eval, 0, &["| teacher | 1 |"]);
}

#[test]
fn the_quickstart_writes_a_plot() {
    let folder = folder();
    check(&folder, "quickstart --updates 40", 0, &["runs/quickstart/points.svg", "on a mode"]);
    let svg = std::fs::read_to_string(folder.path().join("runs/quickstart/points.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("student after"));
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
