//! Successful runs: each verb, and runs that are stopped and resumed.

use std::{
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use crate::program::{check, folder, folder_with_teacher, program};

#[test]
fn a_teacher_is_distilled_into_a_generator() {
    let folder = folder_with_teacher();
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &["32 images,"]);
    for name in ["config.resolved.toml", "provenance.json", "stats.jsonl", "generator.safetensors"]
    {
        assert!(folder.path().join("run").join(name).exists(), "{name}");
    }
    let command = "uni-instruct distill distill.toml --out run --eval-images 0";
    let expected = ["student", "CC0-1.0", "sigma_init", "parameters", command];
    check(&folder, "inspect run/generator.safetensors", 0, &expected);
    check(&folder, "inspect teacher.safetensors --json", 0, &["\"kind\": \"teacher\""]);
    check(&folder, "sample run/generator.safetensors --count 4 --out a.png", 0, &["a.png"]);
    check(&folder, "sample run/generator.safetensors --count 4 --out b.png", 0, &[]);
    check(&folder, "sample teacher.safetensors --count 2 --steps 2 --class 1 --out c", 0, &[]);
    check(&folder, "teacher train teacher.toml --out not --dry-run", 0, &["img_resolution = 8"]);
    assert!(!folder.path().join("not").exists());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("a.png"), read("b.png"), "the same seed gives the same images");
    assert!(folder.path().join("c/000001.png").exists());
}

#[test]
fn data_free_and_smoke_runs_work() {
    let folder = folder_with_teacher();
    let words = "distill distill.toml --smoke --eval-images 0 --method uni-instruct \
                 --data teacher-samples --set teacher_steps=2";
    check(&folder, words, 0, &["samples of the teacher", "4 images,"]);
    let dry = check(&folder, "distill distill.toml --dry-run", 0, &["parameters"]);
    assert!(String::from_utf8_lossy(&dry.stdout).contains("[phase.method"));
    assert!(!folder.path().join("runs").exists(), "a dry run writes nothing");
}

#[test]
fn settings_override_options() {
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
    let tensors = |name: &str, under: &str| {
        let file = models::TensorFile::load(folder.path().join(name)).unwrap();
        let flat = |it: &candle_core::Tensor| it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let own = file.tensors.iter().filter(|(key, _)| key.starts_with(under));
        own.flat_map(|(_, tensor)| flat(tensor)).collect::<Vec<_>>()
    };
    let start = tensors("teacher.safetensors", "");
    assert_eq!(start, tensors("again.safetensors", ""));
    // The average and the trained weights both start there.
    let checkpoint = "again/checkpoints/000000000000.safetensors";
    assert_eq!(start, tensors(checkpoint, "teacher/params/"));
    check(&folder, "inspect again.safetensors", 0, &["init           teacher.safetensors"]);
    let wider = "teacher train teacher.toml --out third --set init=teacher.safetensors \
                 --set network.architecture.model_channels=16";
    check(&folder, wider, 3, &["init: it holds another network"]);
}

#[test]
fn prints_lists_sets_and_completions() {
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
fn the_quickstart_writes_a_plot() {
    let folder = folder();
    check(&folder, "quickstart --updates 40", 0, &["runs/quickstart/points.svg", "on a mode"]);
    let svg = std::fs::read_to_string(folder.path().join("runs/quickstart/points.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("student after"));
}

/// A process that ends when the test ends or fails.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Waits until a folder holds a complete checkpoint: any, because new ones replace old ones.
fn wait_for_a_checkpoint_in(folder: &Path) {
    let started = Instant::now();
    let whole = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|it| it.path().extension().is_some_and(|end| end == "safetensors"))
    };
    while !std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(whole)) {
        assert!(started.elapsed() < Duration::from_secs(300), "{} is empty", folder.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folder of a run that got a signal after its first checkpoint, and its exit code.
fn interrupted(signal: &str) -> (tempfile::TempDir, Option<i32>) {
    let folder = folder_with_teacher();
    let long = "distill distill.toml --out run --eval-images 0 --set phase.0.images=4000000 \
                --set log.checkpoint=16";
    let child = program(&folder, long).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = Guard(child.unwrap());
    wait_for_a_checkpoint_in(&folder.path().join("run/checkpoints"));
    let pid = child.0.id().to_string();
    let killed = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(killed.success());
    let code = child.0.wait().unwrap().code();
    (folder, code)
}

#[test]
fn a_run_resumes_after_sigterm() {
    let (folder, code) = interrupted("-TERM");
    assert_eq!(code, Some(143));
    let again = "distill distill.toml --out run --eval-images 0 --minutes 0.0001 \
                 --set phase.0.images=4000000 --set log.checkpoint=16";
    check(&folder, again, 0, &["resuming after"]);
}

#[test]
fn a_run_resumes_after_sigkill() {
    let (folder, code) = interrupted("-KILL");
    assert_eq!(code, None);
    let again = "distill distill.toml --out run --eval-images 0 --minutes 0.0001 \
                 --set phase.0.images=4000000 --set log.checkpoint=16";
    check(&folder, again, 0, &["resuming after"]);
}

#[test]
#[cfg(unix)]
fn a_signal_ends_the_evaluation() {
    use std::os::unix::process::ExitStatusExt;
    let folder = folder();
    let words = "distill --out run --set batch=4 --set phase.0.images=8 --set phase.1.images=8";
    let child = program(&folder, words).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = Guard(child.unwrap());
    let started = Instant::now();
    // Written between the last update and the evaluation of 1000 images.
    while !folder.path().join("run/generator.safetensors").exists() {
        assert!(started.elapsed() < Duration::from_secs(300), "the updates never ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = child.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.0.wait().unwrap().signal(), Some(15));
    assert!(!folder.path().join("run/results.json").exists());
}

#[test]
#[cfg(unix)]
fn a_closed_pipe_ends_a_list_but_not_a_run() {
    use std::os::unix::process::ExitStatusExt;
    let folder = folder_with_teacher();
    let words = "distill distill.toml --out run --eval-images 0";
    let mut child = program(&folder, words).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(folder.path().join("run/generator.safetensors").exists());
    let mut child = program(&folder, "list").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().signal(), Some(13));
}
