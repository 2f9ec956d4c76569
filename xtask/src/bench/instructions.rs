//! `cargo xtask bench --instructions`: instruction counts of the hot kernels.
//!
//! On a shared machine, times vary and the instruction count of one thread hardly does. Each kernel
//! runs once and several times under callgrind. The difference counts warm runs only.
//!
//! Counts depend on the compiler and on the instruction sets that valgrind emulates, so the file
//! records both.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::KERNELS_VARIABLE;
use super::subject::Subject;

/// File with the committed counts.
const FILE: &str = "benches/instructions.txt";
/// Warm runs, over which the count is averaged.
const WARM: u64 = 4;
/// Relative excess over the committed count that passes. Other machines copy memory with other
/// functions. On one machine, two runs agree to five digits.
const TOLERANCE: f64 = 0.03;
/// Instruction set that valgrind up to 3.22 supports on x86-64. Without this limit, another machine
/// would count other kernels.
const KERNELS: &str = "avx2";

/// Counts the instructions of all kernels; compares them with the committed counts or replaces
/// these.
///
/// # Errors
///
/// If valgrind is missing, or a kernel needs more instructions than committed.
pub fn run(root: &Path, write: bool) -> anyhow::Result<()> {
    let setup = Command::new("bash").arg(".ci/setup").current_dir(root).status();
    ensure!(
        setup.context("cannot start bash")?.success(),
        ".ci/setup failed; its message is above"
    );
    let subject = Subject::build(root, "subject")?;
    let output = subject.command(&["kernels"]).output().context("subject kernels")?;
    let names: Vec<String> = serde_json::from_slice(&output.stdout)
        .context("subject kernels: the output is not a list of names")?;
    let mut counts = Vec::new();
    for name in names {
        let cold = count(&subject, &name, 1)?;
        let count = count(&subject, &name, 1 + WARM)?.saturating_sub(cold) / WARM;
        println!("{name:<24} {count:>12}");
        counts.push((name, count));
    }
    let path = root.join(FILE);
    if write {
        return std::fs::write(&path, text(&counts, &compiler()?)).context(FILE);
    }
    let committed = std::fs::read_to_string(&path).context(FILE)?;
    let (faults, notes) = compare(&counts, &parse(&committed)?);
    for note in notes {
        println!("{note}");
    }
    let advice = "to accept these counts, run `cargo xtask bench --instructions --write`";
    ensure!(
        faults.is_empty(),
        "{FILE} ({}):\n  {}\n{advice}",
        committed.lines().next().unwrap_or_default().trim_start_matches("# "),
        faults.join("\n  ")
    );
    Ok(())
}

/// Returns the instructions of the whole program when it runs a kernel `times` times.
fn count(subject: &Subject, name: &str, times: u64) -> anyhow::Result<u64> {
    let kernel = subject.command(&["kernel", name, &times.to_string()]);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(kernel.get_program())
        .args(kernel.get_args())
        .env("RAYON_NUM_THREADS", "1")
        .env(KERNELS_VARIABLE, KERNELS)
        .output()
        .context("cannot start valgrind; install it (Debian: valgrind)")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: `{name}`: {}\n{text}", output.status);
    collected(&text).with_context(|| format!("valgrind printed no count:\n{text}"))
}

/// Reads the count from callgrind's line `==1== Collected : 123`.
fn collected(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("cannot start rustc")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the file: a line with the origin of the counts, then a line per kernel.
fn text(counts: &[(String, u64)], compiler: &str) -> String {
    let mut text = format!("# {compiler}, kernels `{KERNELS}`\n");
    for (name, count) in counts {
        text += &format!("{name} {count}\n");
    }
    text
}

fn parse(text: &str) -> anyhow::Result<Vec<(String, u64)>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let parse = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    };
    lines
        .map(|line| parse(line).with_context(|| format!("{FILE}: `{line}` is not `name count`")))
        .collect()
}

/// Returns the counts that are worse than committed or missing there, and the counts that are
/// better.
fn compare(counts: &[(String, u64)], committed: &[(String, u64)]) -> (Vec<String>, Vec<String>) {
    let (mut faults, mut notes) = (Vec::new(), Vec::new());
    for (name, count) in counts {
        let Some((_, before)) = committed.iter().find(|it| it.0 == *name) else {
            faults.push(format!("{name}: missing in the file"));
            continue;
        };
        let change = *count as f64 / *before as f64 - 1.0;
        let line =
            format!("{name}: {count} instructions, {before} committed ({:+.1} %)", change * 1e2);
        if TOLERANCE < change {
            faults.push(line);
        } else if change < -TOLERANCE {
            notes.push(line);
        }
    }
    for (name, _) in committed.iter().filter(|it| counts.iter().all(|count| count.0 != it.0)) {
        faults.push(format!("{name}: in the file, but there is no such kernel"));
    }
    (faults, notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    #[test]
    fn reads_count_from_callgrind_output() {
        let text = "==5== Events    : Ir\n==5== Collected : 23992634\n==5==\n";
        assert_eq!(collected(text), Some(23_992_634));
        assert_eq!(collected("==5== error"), None);
    }

    #[test]
    fn round_trips_file() {
        let rows = counts(&[("a", 10), ("b-c", 20)]);
        assert_eq!(parse(&text(&rows, "rustc 1")).unwrap(), rows);
        assert!(parse("a ten\n").unwrap_err().to_string().contains("a ten"));
    }

    #[test]
    fn rejects_more_instructions_and_reports_fewer() {
        let committed = counts(&[("more", 1000), ("less", 1000), ("same", 1000), ("gone", 1000)]);
        let now = counts(&[("more", 1040), ("less", 900), ("same", 1020), ("new", 1)]);
        let (faults, notes) = compare(&now, &committed);
        assert_eq!(faults.len(), 3, "{faults:?}");
        for (fault, name) in faults.iter().zip(["more", "new", "gone"]) {
            assert!(fault.starts_with(name), "{fault}");
        }
        assert_eq!(notes, ["less: 900 instructions, 1000 committed (-10.0 %)"]);
    }
}
