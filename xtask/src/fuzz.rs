//! `cargo xtask fuzz`: every fuzz target under libFuzzer, each for a bounded time.
//!
//! `docs/fuzzing.md` describes the targets and the handling of an input that breaks one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// Default time per target, in minutes.
const MINUTES: u64 = 10;

/// Settings of libFuzzer: maximum input length in bytes, memory limit in MB, time limit per input
/// in seconds.
const SETTINGS: [&str; 3] = ["-max_len=8192", "-rss_limit_mb=2048", "-timeout=10"];

/// Arguments of the task.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    targets: Vec<String>,
    /// Time per target.
    minutes: u64,
}

/// Runs the named targets, or all of them if none is named.
///
/// A target that fails does not stop the ones after it.
///
/// # Errors
///
/// If an argument is invalid, a tool is missing, or a target finds an input that breaks it.
pub fn run(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let path = root.join("fuzz/Cargo.toml");
    let manifest = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let options = parse(words, &targets(&manifest)?)?;
    check_tools()?;
    let mut failed = Vec::new();
    for target in &options.targets {
        let found = root.join("target/fuzz-found").join(target);
        fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
        let arguments = arguments(target, options.minutes);
        println!("==> {target}: rustup {}", arguments.join(" "));
        let status = Command::new("rustup")
            .args(&arguments)
            .current_dir(root)
            .status()
            .context("cannot start rustup")?;
        if !status.success() {
            failed.push(target.as_str());
        }
    }
    ensure!(
        failed.is_empty(),
        "{} failed; an input that broke a target is in fuzz/artifacts/ (docs/fuzzing.md)",
        failed.join(", ")
    );
    println!("fuzz: found no faults in {}", options.targets.join(", "));
    Ok(())
}

/// Names of the programs in the manifest of `fuzz/`.
fn targets(manifest: &str) -> anyhow::Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("fuzz/Cargo.toml")?;
    let programs = manifest.get("bin").and_then(|it| it.as_array());
    let names = programs.into_iter().flatten().filter_map(|it| it.get("name")?.as_str());
    let names: Vec<String> = names.map(str::to_owned).collect();
    ensure!(!names.is_empty(), "fuzz/Cargo.toml: no `[[bin]]`");
    Ok(names)
}

fn parse(words: &[&str], known: &[String]) -> anyhow::Result<Options> {
    let mut options = Options { targets: Vec::new(), minutes: MINUTES };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        if word == "--minutes" {
            let minutes = words.next().and_then(|it| it.parse().ok()).filter(|it| *it > 0);
            options.minutes = minutes.context("--minutes requires a number of at least 1")?;
        } else if known.iter().any(|it| it == word) {
            options.targets.push(word.to_owned());
        } else {
            bail!("unknown fuzz target `{word}`; expected one of {}", known.join(", "));
        }
    }
    if options.targets.is_empty() {
        options.targets = known.to_vec();
    }
    Ok(options)
}

/// Returns the arguments of rustup. libFuzzer writes new inputs to the first of the two folders.
fn arguments(target: &str, minutes: u64) -> Vec<String> {
    let cargo = ["run", "nightly", "cargo", "fuzz", "run", "--fuzz-dir", "fuzz"];
    let features = ["--features", "libfuzzer"];
    let mut arguments: Vec<String> = cargo.into_iter().chain(features).map(str::to_owned).collect();
    arguments.extend([
        target.to_owned(),
        format!("target/fuzz-found/{target}"),
        format!("fuzz/corpus/{target}"),
        "--".to_owned(),
        format!("-dict=fuzz/dictionaries/{target}.dict"),
    ]);
    arguments.extend(SETTINGS.map(str::to_owned));
    arguments.push(format!("-max_total_time={}", 60 * minutes));
    arguments
}

/// Returns an error with the install commands if a tool is missing.
fn check_tools() -> anyhow::Result<()> {
    let output =
        Command::new("rustup").args(["run", "nightly", "cargo", "fuzz", "--version"]).output();
    ensure!(
        output.is_ok_and(|it| it.status.success()),
        "fuzz: cargo-fuzz or the nightly toolchain is missing; run \
         `rustup toolchain install nightly --profile minimal` and \
         `cargo install cargo-fuzz --locked`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["png", "idx"].map(str::to_owned).to_vec()
    }

    #[test]
    fn runs_named_targets_or_all() {
        let options = parse(&["idx", "--minutes", "3"], &known()).unwrap();
        assert_eq!(options, Options { targets: vec!["idx".to_owned()], minutes: 3 });
        let options = parse(&[], &known()).unwrap();
        assert_eq!(options, Options { targets: known(), minutes: MINUTES });
    }

    #[test]
    fn rejects_unknown_target_and_invalid_time() {
        let error = |words: &[&str]| parse(words, &known()).err().unwrap().to_string();
        assert!(error(&["jpg"]).contains("`jpg`; expected one of png, idx"));
        for words in [&["--minutes"][..], &["--minutes", "0"], &["--minutes", "-1"]] {
            assert!(error(words).contains("at least 1"), "{words:?}");
        }
    }

    #[test]
    fn bounds_the_time_of_a_target() {
        let words = arguments("png", 2);
        assert_eq!(words.last().unwrap(), "-max_total_time=120");
        assert!(words.contains(&"-dict=fuzz/dictionaries/png.dict".to_owned()));
    }

    #[test]
    fn every_target_has_a_corpus_and_a_dictionary() {
        let root = crate::root();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        for target in targets(&manifest).unwrap() {
            for path in [format!("corpus/{target}"), format!("dictionaries/{target}.dict")] {
                assert!(root.join("fuzz").join(&path).exists(), "{path}");
            }
        }
    }
}
