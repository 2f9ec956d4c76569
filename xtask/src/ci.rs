//! `cargo xtask ci`: every check that a change must pass, cheapest first.
//!
//! The stages stop at the first failure, so a formatting error is reported within seconds. The
//! output of each tool goes through unchanged, so that scripts find the closing lines of `cargo
//! test` on standard output.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::tidy;

/// One check.
struct Stage {
    name: &'static str,
    /// Arguments of each cargo command; no command stands for a check inside this program.
    cargo: &'static [&'static [&'static str]],
    /// Environment of the commands.
    env: &'static [(&'static str, &'static str)],
}

/// All checks in the order in which they run.
///
/// `--locked` also proves that the committed `Cargo.lock` matches the manifests.
const STAGES: [Stage; 11] = [
    Stage { name: "format", cargo: &[&["fmt", "--all", "--check"]], env: &[] },
    Stage { name: "tidy", cargo: &[], env: &[] },
    // The checks of third-party crates that need no network.
    Stage { name: "deny", cargo: &[&["xtask", "deny", "licenses", "bans", "sources"]], env: &[] },
    Stage {
        name: "clippy",
        cargo: &[&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]],
        env: &[],
    },
    Stage { name: "features", cargo: &REDUCED, env: &[] },
    Stage {
        name: "doc",
        cargo: &[&["doc", "--workspace", "--no-deps", "--locked"]],
        env: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Stage {
        name: "test",
        cargo: &[&["test", "--workspace", "--no-fail-fast", "--locked"]],
        env: &[],
    },
    Stage { name: "outside", cargo: &[&["xtask", "outside"]], env: &[] },
    Stage { name: "package", cargo: &[&PACKAGE], env: &[] },
    // The hot kernels must not execute more instructions than committed. This needs no idle
    // machine.
    Stage { name: "count", cargo: &[&["xtask", "bench", "--instructions"]], env: &[] },
    Stage { name: "gpu", cargo: &[&["xtask", "check-gpu"]], env: &[] },
];

/// Packages every crate for a registry.
///
/// The stage `outside` builds the crates alone, so the packages are not built again. A lock file in a
/// package would require the registry's index, and so the network.
const PACKAGE: [&str; 7] = [
    "package",
    "--workspace",
    "--locked",
    "--no-verify",
    "--allow-dirty",
    "--exclude-lockfile",
    "--no-metadata",
];

/// Builds with fewer features than the workspace build, which enables all that a member requests.
///
/// - `divergence` without `tensor`: the mathematics without candle.
///
/// The stage `outside` builds `data` without `archives` and `fetch`, and denies warnings as well.
const REDUCED: [&[&str]; 1] = [&clippy_without_features("uni-instruct-divergence")];

const fn clippy_without_features(package: &str) -> [&str; 8] {
    ["clippy", "--package", package, "--no-default-features", "--locked", "--", "-D", "warnings"]
}

/// Runs the named stages, or all of them if none is named.
///
/// # Errors
///
/// If a name is unknown, or a stage fails; the stages after it are not run.
pub fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let stages = select(names)?;
    let mut times = Vec::new();
    let mut failure = None;
    for stage in &stages {
        println!("==> {}: {}", stage.name, describe(stage));
        let start = Instant::now();
        let outcome = run_stage(root, stage);
        times.push(start.elapsed());
        if let Err(error) = outcome {
            failure = Some(error.context(format!("stage `{}`", stage.name)));
            break;
        }
    }
    let rows: Vec<_> = stages.iter().map(|it| it.name).collect();
    print!("{}", summary(&rows, &times, failure.is_some()));
    failure.map_or(Ok(()), Err)
}

/// Returns the stages with these names in the table's order, or all of them for an empty list.
fn select(names: &[&str]) -> anyhow::Result<Vec<&'static Stage>> {
    for name in names {
        if !STAGES.iter().any(|it| it.name == *name) {
            let known = STAGES.map(|it| it.name).join(", ");
            bail!("unknown stage `{name}`; expected one of {known}");
        }
    }
    Ok(STAGES.iter().filter(|it| names.is_empty() || names.contains(&it.name)).collect())
}

/// Returns the command in the form in which a user types it.
fn describe(stage: &Stage) -> String {
    if stage.cargo.is_empty() {
        return format!("cargo xtask {}", stage.name);
    }
    let env: String = stage.env.iter().map(|(key, value)| format!("{key}=\"{value}\" ")).collect();
    let commands: Vec<_> =
        stage.cargo.iter().map(|words| format!("{env}cargo {}", words.join(" "))).collect();
    commands.join(" && ")
}

fn run_stage(root: &Path, stage: &Stage) -> anyhow::Result<()> {
    if stage.cargo.is_empty() {
        let files = tidy::run(root)?;
        println!("checked {files} files, found no faults");
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for words in stage.cargo {
        let status = Command::new(&cargo)
            .args(*words)
            .envs(stage.env.iter().copied())
            .current_dir(root)
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "`cargo {}` failed ({status})", words.join(" "));
    }
    Ok(())
}

/// Returns one line per stage: its time, and whether it passed, failed or did not run.
fn summary(names: &[&str], times: &[Duration], failed: bool) -> String {
    let mut text = String::from("==> summary\n");
    for (index, name) in names.iter().enumerate() {
        let last = index + 1 == times.len();
        let outcome = match times.get(index) {
            None => "not run".to_owned(),
            Some(time) if failed && last => format!("FAILED after {:.1} s", time.as_secs_f64()),
            Some(time) => format!("ok in {:.1} s", time.as_secs_f64()),
        };
        text += &format!("  {name:<8} {outcome}\n");
    }
    let total: Duration = times.iter().sum();
    text + &format!("  {:<8} {:.1} s\n", "total", total.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_stages_in_table_order() {
        let names = |words: &[&str]| -> Vec<&str> {
            select(words).unwrap().iter().map(|it| it.name).collect()
        };
        let all = [
            "format", "tidy", "deny", "clippy", "features", "doc", "test", "outside", "package",
            "count", "gpu",
        ];
        assert_eq!(names(&[]), all);
        assert_eq!(names(&["test", "format"]), ["format", "test"]);
    }

    #[test]
    fn rejects_unknown_stage() {
        let error = select(&["lint"]).err().unwrap().to_string();
        assert!(error.contains("`lint`") && error.contains("clippy"), "{error}");
    }

    #[test]
    fn summary_shows_failed_and_skipped_stages() {
        let seconds = [Duration::from_millis(1200), Duration::from_millis(300)];
        let text = summary(&["format", "tidy", "clippy"], &seconds, true);
        let expected = "==> summary\n  format   ok in 1.2 s\n  tidy     FAILED after 0.3 s\n  \
                        clippy   not run\n  total    1.5 s\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn describes_stage_as_typed_command() {
        assert_eq!(describe(&STAGES[1]), "cargo xtask tidy");
        let doc = "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps --locked";
        assert_eq!(describe(&STAGES[5]), doc);
        let features = describe(&STAGES[4]);
        assert_eq!(features.matches("--no-default-features").count(), REDUCED.len());
        assert_eq!(features.matches(" && cargo ").count(), REDUCED.len() - 1);
    }

    #[test]
    fn workflow_runs_every_stage_once() {
        let path = crate::root().join(".github/workflows/checks.yml");
        let workflow = std::fs::read_to_string(path).unwrap();
        let runs = workflow.lines().filter_map(|it| it.trim().strip_prefix("- run: cargo xtask "));
        let mut run: Vec<&str> = runs
            .filter_map(|it| it.strip_prefix("ci ").or_else(|| it.strip_prefix("msrv ")))
            .flat_map(str::split_whitespace)
            .filter(|it| !it.starts_with("--"))
            .collect();
        run.sort_unstable();
        let mut stages = STAGES.map(|it| it.name);
        stages.sort_unstable();
        assert_eq!(run, stages);
    }
}
