//! Development tasks: `cargo xtask ci`, `tidy`, `deny`, `msrv`, `sanitize`, `fuzz`, `check-gpu`,
//! `bench` and `convert`.
//!
//! This crate depends on no other crate of the workspace. Its checks therefore build in seconds and
//! still run when the rest does not compile.

mod bench;
mod ci;
mod command;
mod deny;
mod fuzz;
mod gpu;
mod msrv;
mod outside;
mod results;
mod sanitize;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

const USAGE: &str = "\
usage: cargo xtask <task>

  ci [stage...]  runs all checks, cheapest first, or only the named ones: format, tidy, deny,
                 clippy, features, doc, test, outside, package, count, gpu
  tidy           checks the rules of this workspace: layers, file length, module docs,
                 wording, links
      --bless-language   lower the counts in xtask/language-debt.toml to the present ones
  deny [check...]
                 checks licenses, advisories, duplicates and sources of third-party crates
                 with cargo-deny; advisories require the network
  msrv [--install] [stage...]
                 compiles everything with the oldest supported Rust, or runs stages of
                 `ci` with it; --install lets rustup download that version
  sanitize [address] [memcheck] [miri]
                 runs the operations' tests under tools that detect invalid memory accesses
  fuzz [target...] [--minutes N]
                 runs every fuzz target, or the named ones, under libFuzzer for N minutes each
                 (default: 10)
  outside [--alone]
                 builds and runs the crates in ci/outside, each of which uses one crate of the
                 workspace; --alone builds each by itself, which takes ten minutes
  check-gpu [step...]
                 checks GPU kernels and their host code on a machine without a GPU; requires
                 the network once (`cuda` or `metal`: all steps of that kind)
  bench [case...] [option...]
                 compares this workspace with PyTorch; without names, measures the whole table
      --quick            measure a subset that takes about five minutes
      --check            fail if a ratio exceeds its limit
      --write            write the result into docs/
      --scaling          measure the points of the scaling plots instead of the table
      --instructions     count the instructions of the kernels under valgrind and compare
                         with benches/instructions.txt (--write replaces that file)
      --accuracy         measure the errors of the kernels with respect to f64 instead of
                         times
      --variants A,B     measure only these: kernels, avx2, candle, eager, tcmalloc,
                         channels_last, compile
      --threads N        threads of every variant (default: 2)
  results LIST.toml... [--table]
                 trains the runs of the lists in benches/results that have no line in
                 docs/results yet, and writes the tables of docs/results.md; --table only
                 writes the tables
  convert FILE --out FILE [option...]
                 converts networks of other programs to ours and back, like
                 `uni-instruct convert`
  help           prints this text
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = root();
    let outcome = match words.as_slice() {
        ["ci", stages @ ..] => ci::run(&root, stages),
        ["deny", checks @ ..] => deny::run(&root, checks),
        ["msrv", words @ ..] => msrv::run(&root, words),
        ["fuzz", words @ ..] => fuzz::run(&root, words),
        ["sanitize", tools @ ..] => sanitize::run(&root, tools),
        ["outside"] => outside::run(&root, false),
        ["outside", "--alone"] => outside::run(&root, true),
        ["check-gpu", steps @ ..] => gpu::run(&root, steps),
        ["results", words @ ..] => results::run(&root, words),
        ["bench", words @ ..] => bench::run(&root, words),
        ["convert", words @ ..] => convert(&root, words),
        ["tidy", "--bless-language"] => bless_language(&root),
        ["tidy"] => {
            tidy::run(&root).map(|files| println!("tidy: checked {files} files, found no faults"))
        }
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Lowers the counts in the list of wording that remains to be corrected.
fn bless_language(root: &Path) -> anyhow::Result<()> {
    let left = tidy::bless_language(root)?;
    println!("tidy: {}", if left { "wrote xtask/language-debt.toml" } else { "nothing to list" });
    Ok(())
}

/// Runs `uni-instruct convert`, built with optimizations.
fn convert(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "uni-instruct", "--", "convert"])
        .args(words)
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "`uni-instruct convert` failed ({status})");
    Ok(())
}

/// Returns the workspace's root, the parent of this crate's folder.
///
/// Cargo sets the variable when it runs the program. A binary that was built elsewhere and restored
/// from a cache therefore still checks the tree in which it is called.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}
