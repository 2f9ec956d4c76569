//! `cargo xtask msrv`: the workspace under the oldest Rust that its manifest promises.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// Compiles everything with the oldest supported Rust, or runs the named stages of `ci` with it.
///
/// rustup installs that version where it is missing.
///
/// # Errors
///
/// If the manifest states no version, rustup is missing, or the command fails.
pub fn run(root: &Path, stages: &[&str]) -> anyhow::Result<()> {
    let path = root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let arguments = arguments(&rust_version(&manifest)?, stages);
    println!("==> msrv: rustup {}", arguments.join(" "));
    let status = Command::new("rustup")
        .args(&arguments)
        // Next to the builds of the usual toolchain, which stay valid.
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
fn arguments(version: &str, stages: &[&str]) -> Vec<String> {
    let check = ["check", "--workspace", "--all-targets", "--locked"];
    let mut arguments = vec!["run", "--install", version, "cargo"];
    if stages.is_empty() {
        arguments.extend(check);
    } else {
        arguments.extend(["xtask", "ci"]);
        arguments.extend(stages);
    }
    arguments.into_iter().map(str::to_owned).collect()
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
        let check = "run --install 1.95 cargo check --workspace --all-targets --locked";
        assert_eq!(words(&[]), check);
        assert_eq!(words(&["count"]), "run --install 1.95 cargo xtask ci count");
    }
}
