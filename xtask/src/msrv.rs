//! `cargo xtask msrv`: builds the workspace with the oldest Rust that its manifest promises.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// Option that permits a download.
const INSTALL: &str = "--install";

/// Compiles everything with the oldest supported Rust, or runs the named stages of `ci` with it.
///
/// With `--install`, rustup first downloads that version if it is missing.
///
/// # Errors
///
/// If the manifest states no version, that version or rustup is missing, or the command fails.
pub fn run(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let path = root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let version = rust_version(&manifest)?;
    let arguments = arguments(&version, words);
    if !words.contains(&INSTALL) {
        check_toolchain(&version)?;
    }
    println!("==> msrv: rustup {}", arguments.join(" "));
    let status = Command::new("rustup")
        .args(&arguments)
        // A separate folder keeps the builds of the default toolchain valid.
        .env("CARGO_TARGET_DIR", root.join("target/msrv"))
        .current_dir(root)
        .status()
        .context("cannot start rustup; install it from https://rustup.rs")?;
    ensure!(status.success(), "`rustup {}` failed ({status})", arguments.join(" "));
    Ok(())
}

/// Oldest supported Rust: `workspace.package.rust-version`.
fn rust_version(manifest: &str) -> anyhow::Result<String> {
    let manifest: toml::Table = manifest.parse().context("Cargo.toml")?;
    let package = manifest.get("workspace").and_then(|it| it.get("package"));
    let version = package.and_then(|it| it.get("rust-version")).and_then(|it| it.as_str());
    version.map(str::to_owned).context("Cargo.toml: no `workspace.package.rust-version`")
}

/// Arguments of rustup.
fn arguments(version: &str, words: &[&str]) -> Vec<String> {
    let check = ["check", "--workspace", "--all-targets", "--locked"];
    let (options, stages): (Vec<&str>, Vec<&str>) = words.iter().partition(|it| **it == INSTALL);
    let mut arguments = vec!["run"];
    arguments.extend(options);
    arguments.extend([version, "cargo"]);
    if stages.is_empty() {
        arguments.extend(check);
    } else {
        arguments.extend(["xtask", "ci"]);
        arguments.extend(stages);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// Returns an error with the install command if the version is missing.
fn check_toolchain(version: &str) -> anyhow::Result<()> {
    let output = Command::new("rustup").args(["run", version, "rustc", "--version"]).output();
    ensure!(
        output.is_ok_and(|it| it.status.success()),
        "msrv: Rust {version} is missing; run `rustup toolchain install {version}`, or add \
         `{INSTALL}` to this command"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_version_from_manifest() {
        let text = "[workspace.package]\nedition = \"2024\"\nrust-version = \"1.95\"\n";
        assert_eq!(rust_version(text).unwrap(), "1.95");
        let error = rust_version("[workspace.package]\n").err().unwrap().to_string();
        assert!(error.contains("rust-version"), "{error}");
    }

    #[test]
    fn compiles_everything_or_runs_stages() {
        let words = |stages: &[&str]| arguments("1.95", stages).join(" ");
        let check = "run 1.95 cargo check --workspace --all-targets --locked";
        assert_eq!(words(&[]), check);
        let count = "run --install 1.95 cargo xtask ci count";
        assert_eq!(words(&["--install", "count"]), count);
    }
}
