//! `cargo xtask outside`: small crates outside the workspace, each of which uses one of its crates.
//!
//! They form a separate workspace in `ci/outside`. Each depends on one library crate, as a user's
//! crate does. The dependency tree of each must not contain crates that its users chose to leave out.
//!
//! They are built together, in two minutes, and with `--alone` one by one, in ten: only then a library
//! cannot rely on a feature of a dependency that another crate enables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::command::call;

/// An outside crate.
struct Outside {
    /// Name of its package.
    name: &'static str,
    /// Packages that must not be in its dependency tree.
    without: &'static [&'static str],
}

/// Clients of downloads and archives. candle itself depends on `zip`.
const DOWNLOADS_AND_ARCHIVES: &[&str] = &["ureq", "tar"];

const CRATES: [Outside; 8] = [
    Outside { name: "outside-divergence", without: &["candle-core", "uni-instruct-kernels"] },
    Outside { name: "outside-kernels", without: &["uni-instruct-models", "uni-instruct-pickle"] },
    Outside { name: "outside-pickle", without: &["uni-instruct-kernels", "uni-instruct-models"] },
    Outside { name: "outside-models", without: &["uni-instruct-train", "uni-instruct-data"] },
    Outside {
        name: "outside-data",
        without: &["uni-instruct-models", "uni-instruct-train", "ureq", "tar"],
    },
    Outside { name: "outside-metrics", without: &["uni-instruct-train", "uni-instruct-data"] },
    Outside { name: "outside-eval", without: &["uni-instruct-train"] },
    Outside { name: "outside-train", without: DOWNLOADS_AND_ARCHIVES },
];

/// Runs every outside crate and checks its dependencies. `alone` builds each by itself.
///
/// # Errors
///
/// If a crate does not build, fails, or depends on a package that it must not.
pub fn run(root: &Path, alone: bool) -> anyhow::Result<()> {
    let folder = root.join("ci/outside");
    // The versions of the workspace need no download, and a failure here is caused by this
    // repository.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).context("Cargo.lock")?;
    for Outside { name, without } in &CRATES {
        let tree = cargo(root, &folder)
            .args(["tree", "--package", name, "--edges", "normal", "--prefix", "none"])
            .output()
            .context("cannot start cargo tree")?;
        ensure!(
            tree.status.success(),
            "cargo tree of `{name}` failed: {}",
            String::from_utf8_lossy(&tree.stderr).trim()
        );
        let found = packages(&String::from_utf8_lossy(&tree.stdout), without);
        ensure!(found.is_empty(), "`{name}` depends on {}", found.join(", "));
    }
    if !alone {
        call(cargo(root, &folder).args(["build", "--quiet", "--workspace"]))?;
    }
    for Outside { name, .. } in &CRATES {
        if alone {
            call(cargo(root, &folder).args(["run", "--quiet", "--package", name]))?;
        } else {
            // Cargo would build it again, by itself.
            call(Command::new(target(root).join("debug").join(name)).current_dir(&folder))?;
        }
    }
    println!("outside: {} crates build and run", CRATES.len());
    Ok(())
}

fn target(root: &Path) -> PathBuf {
    root.join("target/outside")
}

fn cargo(root: &Path, folder: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).env("CARGO_TARGET_DIR", target(root));
    // Warnings of other crates are not shown, so these are of the workspace with fewer features.
    command.env("RUSTFLAGS", "-D warnings");
    command
}

/// Returns the packages of `without` in the output of `cargo tree --prefix none`.
fn packages(tree: &str, without: &[&'static str]) -> Vec<&'static str> {
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    without.iter().copied().filter(|it| names.contains(it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_an_unwanted_package_by_its_whole_name() {
        let tree = "outside-data v0.0.0 (/x)\ntar-rs v1.0.0\nureq v3.3.0\nserde v1.0.0 (*)\n";
        assert_eq!(packages(tree, &["ureq", "tar"]), ["ureq"]);
        assert!(packages(tree, &[]).is_empty());
    }
}
