//! `cargo xtask tidy`: the rules of this workspace that no compiler checks.
//!
//! A rule is a constant and a pure function from text to faults; only [`run`] and [`tree`] touch
//! the disk. All faults are reported at once, each with its path. What the rules protect is told
//! in `docs/architecture.md` (layers, invariants) and `docs/style.md` (form).

mod docs;
mod layers;
mod lexer;
mod manifest;
mod source;
mod tree;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// Checks the whole tree under `root`; returns how many files were read.
///
/// # Errors
///
/// If a rule is broken (all faults in one message), or if the tree cannot be read.
pub fn run(root: &Path) -> anyhow::Result<usize> {
    let tree = tree::read(root)?;
    let mut faults = Vec::new();
    for file in &tree.files {
        source::check_text(&file.path, &file.text, &mut faults);
        if file.path.ends_with(".rs") {
            source::check_rust(&file.path, &file.text, &mut faults);
        }
        if file.path == "Cargo.toml" {
            manifest::check_root(&file.path, &file.text, &mut faults);
        } else if file.path.ends_with("/Cargo.toml") && !file.path.starts_with("ci/") {
            // Those have workspaces of their own.
            manifest::check_member(&file.path, &file.text, &mut faults);
        }
    }
    docs::check(&tree, &mut faults);
    layers::check(&metadata(root)?, &mut faults)?;
    ensure!(faults.is_empty(), "{} faults:\n  {}", faults.len(), faults.join("\n  "));
    Ok(tree.files.len())
}

/// What cargo says of the workspace's members.
fn metadata(root: &Path) -> anyhow::Result<serde_json::Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cannot start cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    serde_json::from_slice(&output.stdout).context("cargo metadata wrote no JSON")
}
