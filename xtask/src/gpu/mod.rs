//! `cargo xtask check-gpu`: what can be told of the kernels for GPUs on a machine without one.
//!
//! `docs/gpu.md` says what each step proves, and what only a GPU can.

mod metal;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};

/// Runs the named steps, or all of them if none is named; stops at the first that fails.
///
/// # Errors
///
/// If a name is unknown, or a step fails.
pub fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let known = || metal::STEPS.map(|it| it.0).join(", ");
    for name in names {
        ensure!(
            metal::STEPS.iter().any(|it| it.0 == *name),
            "no step `{name}`; there are: {}",
            known()
        );
    }
    for (name, step) in metal::STEPS.iter().filter(|it| names.is_empty() || names.contains(&it.0)) {
        println!("==> {name}");
        let start = Instant::now();
        step(root).with_context(|| format!("step `{name}`"))?;
        println!("==> {name}: ok in {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
