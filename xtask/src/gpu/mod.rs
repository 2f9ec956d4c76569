//! `cargo xtask check-gpu`: checks of the GPU kernels on a machine without a GPU.
//!
//! `docs/gpu.md` describes the scope of each step and the checks that still need a GPU.

mod cuda;
mod metal;
mod mock;
mod report;
mod toolkit;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::command::call;

/// A step: its name and its function, which receives the workspace's root.
type Step = (&'static str, fn(&Path) -> anyhow::Result<()>);

/// Returns the steps of all kinds of GPU in the order in which they run.
fn steps() -> impl Iterator<Item = Step> {
    [&cuda::STEPS[..], &metal::STEPS[..]].into_iter().flatten().copied()
}

/// Runs the named steps, or all of them if none is named; stops at the first failure.
///
/// A prefix such as `cuda` selects all steps of one kind.
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

/// Returns the steps with these names or prefixes, or all of them for an empty list.
fn select(names: &[&str]) -> anyhow::Result<Vec<Step>> {
    let is_of = |name: &str, step: &Step| {
        step.0 == name || step.0.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
    };
    if let Some(name) = names.iter().find(|name| !steps().any(|it| is_of(name, &it))) {
        let known: Vec<_> = steps().map(|it| it.0).collect();
        bail!("unknown step `{name}`; expected one of {}", known.join(", "));
    }
    Ok(steps().filter(|it| names.is_empty() || names.iter().any(|name| is_of(name, it))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_unknown_step() {
        let error = select(&["cuda", "opencl"]).err().unwrap().to_string();
        assert!(error.contains("`opencl`") && error.contains("cuda-kernels"), "{error}");
        assert!(select(&["cud"]).is_err());
    }

    #[test]
    fn prefix_selects_all_steps_of_a_kind() {
        let names = |words: &[&str]| -> Vec<&str> {
            select(words).unwrap().iter().map(|it| it.0).collect()
        };
        assert_eq!(names(&["cuda"]), cuda::STEPS.map(|it| it.0));
        assert_eq!(names(&["metal"]), metal::STEPS.map(|it| it.0));
        assert_eq!(names(&["cuda-host"]), ["cuda-host"]);
        assert_eq!(names(&[]).len(), steps().count());
    }
}
