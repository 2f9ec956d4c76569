//! `cargo xtask deny`: licenses, advisories, duplicates and sources of third-party crates.
//!
//! `deny.toml` contains the rules. The advisories come from a database on the network, so `cargo
//! xtask ci` runs only the [`LOCAL`] checks, whose outcome depends on the commit alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// Checks of cargo-deny that need no network.
const LOCAL: [&str; 3] = ["licenses", "bans", "sources"];

/// Check that reads a database on the network.
const ADVISORIES: &str = "advisories";

/// Runs the named checks of cargo-deny, or all of them if none is named.
///
/// Prints one line and succeeds where cargo-deny is not installed.
///
/// # Errors
///
/// If a name is unknown, or a check fails.
pub fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let arguments = arguments(names)?;
    if !is_installed(root) {
        println!(
            "deny: skipped, cargo-deny is not installed; run `cargo install cargo-deny --locked`"
        );
        return Ok(());
    }
    let status =
        cargo().args(&arguments).current_dir(root).status().context("cannot start cargo")?;
    ensure!(status.success(), "`cargo {}` failed ({status})", arguments.join(" "));
    Ok(())
}

/// Returns cargo's arguments for these checks.
fn arguments<'a>(names: &[&'a str]) -> anyhow::Result<Vec<&'a str>> {
    let known = || LOCAL.into_iter().chain([ADVISORIES]);
    if let Some(name) = names.iter().find(|name| known().all(|it| it != **name)) {
        let known: Vec<_> = known().collect();
        bail!("unknown check `{name}`; expected one of {}", known.join(", "));
    }
    // The inclusion graph of each duplicate is very long; `cargo deny check` shows it.
    let mut arguments = vec!["deny", "--locked", "check", "--hide-inclusion-graph"];
    arguments.extend(names);
    if names.is_empty() {
        arguments.extend(known());
    }
    Ok(arguments)
}

fn is_installed(root: &Path) -> bool {
    let output = cargo().args(["deny", "--version"]).current_dir(root).output();
    output.is_ok_and(|it| it.status.success())
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_named_checks_or_all() {
        let ends = |names: &[&'static str]| arguments(names).unwrap().split_off(4);
        assert_eq!(ends(&["bans"]), ["bans"]);
        assert_eq!(ends(&[]), ["licenses", "bans", "sources", "advisories"]);
    }

    #[test]
    fn rejects_unknown_check() {
        let error = arguments(&["license"]).err().unwrap().to_string();
        assert!(error.contains("`license`") && error.contains("sources"), "{error}");
    }
}
