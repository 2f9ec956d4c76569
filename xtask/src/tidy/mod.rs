//! `cargo xtask tidy`: rules of this workspace that the compiler does not check.
//!
//! Each rule is a constant and a pure function from text to faults; only this file and [`tree`]
//! access the disk. All faults are reported at once with their paths. The reasons for the rules are
//! in `docs/architecture.md` (layers, invariants) and `docs/style.md` (form).

mod docs;
mod language;
mod layers;
mod lexer;
mod manifest;
mod order;
mod source;
mod tree;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// Checks the whole tree under `root`; returns the number of files.
///
/// # Errors
///
/// If a rule is broken (all faults in one message), or the tree cannot be read.
pub fn run(root: &Path) -> anyhow::Result<usize> {
    let tree = tree::read(root)?;
    let mut faults = Vec::new();
    for file in &tree.files {
        source::check_text(&file.path, &file.text, &mut faults);
        if file.path.ends_with(".rs") {
            source::check_rust(&file.path, &file.text, &mut faults);
            order::check(&file.path, &file.text, &mut faults);
        }
        if file.path == "Cargo.toml" {
            manifest::check_root(&file.path, &file.text, &mut faults);
        } else if file.path.ends_with("/Cargo.toml") && !file.path.starts_with("ci/") {
            // Packages in `ci/` are separate workspaces.
            manifest::check_member(&file.path, &file.text, &mut faults);
        }
    }
    docs::check(&tree, &mut faults);
    language::check(&tree, &mut faults);
    layers::check(&metadata(root)?, &mut faults)?;
    ensure!(faults.is_empty(), "{} faults:\n  {}", faults.len(), faults.join("\n  "));
    Ok(tree.files.len())
}

/// Lowers the counts of wording that remains to be corrected; returns whether any remain.
///
/// # Errors
///
/// If the list would grow, or a file cannot be read or written.
pub fn bless_language(root: &Path) -> anyhow::Result<bool> {
    let text = language::bless(&tree::read(root)?).map_err(anyhow::Error::msg)?;
    let path = root.join(language::DEBT);
    match &text {
        Some(text) => std::fs::write(&path, text),
        None if path.exists() => std::fs::remove_file(&path),
        None => Ok(()),
    }
    .with_context(|| format!("{}", path.display()))?;
    Ok(text.is_some())
}

/// Returns the members of the workspace from `cargo metadata`.
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
    serde_json::from_slice(&output.stdout).context("cargo metadata did not print JSON")
}
