//! Development tasks: `cargo xtask ci`, `tidy`, `deny`, `msrv`, `sanitize`, `fuzz`, `check-gpu`,
//! `bench` and `convert`.
//!
//! This crate depends on no other crate of the workspace, so that its checks are built in seconds
//! and still run when the rest does not compile.

mod bench;
mod ci;
mod deny;
mod fuzz;
mod gpu;
mod msrv;
mod outside;
mod sanitize;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

const USAGE: &str = "\
usage: cargo xtask <task>

  ci [stage...]  all checks, cheapest first: format, tidy, deny, clippy, f64, doc, test,
                 count, gpu
                 (or only the named stages, in that order)
  tidy           the workspace's own rules: layers, file length, module docs, wording, links
  deny [check...]
                 licenses, advisories, duplicates and sources of third-party crates, by
                 cargo-deny; advisories need the network
  msrv [--install] [stage...]
                 compiles everything with the oldest supported Rust, or runs stages of
                 `ci` with it; --install lets rustup download that version
  sanitize [address] [memcheck] [miri]
                 the operations' tests under tools that see wrong accesses to memory
  fuzz [target...] [--minutes N]
                 every fuzz target under libFuzzer, each for N minutes (10)
  outside        crates outside the workspace that use one piece each (ci/outside)
  check-gpu [step...]
                 the kernels for GPUs and their host code, on a machine without one; needs the
                 network once (`cuda` or `metal`: the steps of one kind)
  bench [case...] [option...]
                 this workspace against PyTorch, in turn; without names, the whole table
      --quick            a subset of some five minutes
      --check            fail when a ratio is over its floor
      --write            put the result into docs/
      --scaling          the points of the scaling plots instead of the table
      --instructions     instruction counts of the kernels, under valgrind, against
                         benches/instructions.txt (--write renews it)
      --accuracy         the error of every kernel against f64 instead of times
      --variants A,B     only these: kernels, avx2, candle, eager, tcmalloc, channels_last,
                         compile
      --threads N        threads of every variant (2)
  convert FILE --out FILE [option...]
                 networks of other programs to ours, and back: `uni-instruct convert`
  help           this text
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
        ["outside"] => outside::run(&root),
        ["check-gpu", steps @ ..] => gpu::run(&root, steps),
        ["bench", words @ ..] => bench::run(&root, words),
        ["convert", words @ ..] => convert(&root, words),
        ["tidy"] => tidy::run(&root).map(|files| println!("tidy: {files} files, no faults")),
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

/// Runs the program's own verb, built with optimisations.
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

/// The workspace's root: the parent of this crate's folder.
///
/// Cargo states the folder when it runs the program, so a binary that was built elsewhere and
/// restored from a cache still checks the tree it is called in.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}
