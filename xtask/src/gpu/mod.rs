//! `cargo xtask check-gpu`: what can be told of the kernels for GPUs on a machine without one.
//!
//! `docs/gpu.md` says what each step proves, and what only a GPU can.

mod cuda;
mod metal;
mod mock;
mod report;
mod toolkit;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

/// A step: its name, and what it does in the workspace's root.
type Step = (&'static str, fn(&Path) -> anyhow::Result<()>);

/// All steps, a list for each kind of GPU, in the order in which they run.
fn steps() -> impl Iterator<Item = Step> {
    [&cuda::STEPS[..], &metal::STEPS[..]].into_iter().flatten().copied()
}

/// Runs the named steps, or all of them if none is named; stops at the first that fails.
///
/// A name may be the beginning of several: `cuda` are all steps of CUDA.
///
/// # Errors
///
/// If a name is unknown, or a step fails.
pub fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for (name, step) in select(names)? {
        println!("==> {name}");
        let start = Instant::now();
        step(root).with_context(|| format!("step `{name}`"))?;
        let seconds = start.elapsed().as_secs_f64();
        println!("==> {name}: ok in {seconds:.1} s");
        times.push((name, seconds));
    }
    println!("==> summary");
    for (name, seconds) in &times {
        println!("  {name:<14} ok in {seconds:.1} s");
    }
    println!("  {:<14} {:.1} s", "total", times.iter().map(|it| it.1).sum::<f64>());
    Ok(())
}

/// The steps with these names, or beginnings of names; all of them for an empty list.
fn select(names: &[&str]) -> anyhow::Result<Vec<Step>> {
    let is_of = |name: &str, step: &Step| {
        step.0 == name || step.0.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
    };
    if let Some(name) = names.iter().find(|name| !steps().any(|it| is_of(name, &it))) {
        let known: Vec<_> = steps().map(|it| it.0).collect();
        bail!("no step `{name}`; there are: {}", known.join(", "));
    }
    Ok(steps().filter(|it| names.is_empty() || names.iter().any(|name| is_of(name, it))).collect())
}

/// Runs a command whose output goes through unchanged.
fn call(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_named_with_what_exists() {
        let error = select(&["cuda", "opencl"]).err().unwrap().to_string();
        assert!(error.contains("`opencl`") && error.contains("cuda-kernels"), "{error}");
        assert!(select(&["cud"]).is_err());
    }

    #[test]
    fn a_beginning_names_all_steps_of_a_kind() {
        let names = |words: &[&str]| -> Vec<&str> {
            select(words).unwrap().iter().map(|it| it.0).collect()
        };
        assert_eq!(names(&["cuda"]), cuda::STEPS.map(|it| it.0));
        assert_eq!(names(&["metal"]), metal::STEPS.map(|it| it.0));
        assert_eq!(names(&["cuda-host"]), ["cuda-host"]);
        assert_eq!(names(&[]).len(), steps().count());
    }
}
