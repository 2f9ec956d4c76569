//! `cargo xtask sanitize`: the tests of the operations under tools that detect invalid memory
//! accesses.
//!
//! A kernel that reads past its operand may still compute the right values. Each of the three tools
//! detects a different kind of fault; `docs/extending.md` describes them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// A tool and its runs.
struct Tool {
    name: &'static str,
    /// Requirements of the tool.
    needs: Need,
    /// Arguments of cargo, one list per run. `HOST` stands for this machine's target.
    runs: &'static [&'static [&'static str]],
    /// Environment of the runs.
    env: &'static [(&'static str, &'static str)],
}

/// A requirement besides the default toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A nightly toolchain with these components.
    Nightly(&'static [&'static str]),
    /// A program.
    Program(&'static str),
}

/// Placeholder for this machine's target: used unchanged in arguments, in upper case in variables.
const HOST: &str = "HOST";

const TOOLS: [Tool; 3] = [
    Tool {
        name: "address",
        needs: Need::Nightly(&[]),
        runs: &[
            &["test", "--package", "uni-instruct-kernels", "--target", HOST, "--test", "bad_input"],
            &["test", "--package", "uni-instruct-kernels", "--target", HOST, "--lib"],
        ],
        env: &[
            ("RUSTFLAGS", "-Zsanitizer=address"),
            ("CARGO_TARGET_DIR", "target/sanitize/address"),
        ],
    },
    Tool {
        name: "memcheck",
        needs: Need::Program("valgrind"),
        runs: &[
            // Valgrind runs one thread at a time anyway, and the tests wait for each other to set
            // the limit on the kernels.
            &[
                "test",
                "--package",
                "uni-instruct-kernels",
                "--test",
                "bad_input",
                "--",
                "--test-threads",
                "1",
                // This test runs every operation at every size twice, which takes half an hour.
                "--skip",
                "scratch",
            ],
        ],
        env: &[("CARGO_TARGET_HOST_RUNNER", "valgrind --quiet --error-exitcode=9")],
    },
    Tool {
        name: "miri",
        needs: Need::Nightly(&["miri", "rust-src"]),
        // Miri tests the code that all kernels share. A kernel itself, called on a tensor, takes an
        // hour.
        runs: &[&[
            "miri",
            "test",
            "--package",
            "uni-instruct-kernels",
            "--lib",
            "--",
            "buffer::tests",
            "product::tests",
            "operand::tests",
        ]],
        env: &[
            ("CARGO_TARGET_DIR", "target/sanitize/miri"),
            // rayon's queues violate stacked borrows, and its threads end with the process.
            ("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-tree-borrows -Zmiri-ignore-leaks"),
        ],
    },
];

/// Runs the named tools, or all of them if none is named.
///
/// # Errors
///
/// If a name is unknown, a tool is missing, or one finds a fault.
pub fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let host = host()?;
    for tool in select(names)? {
        check_need(tool)?;
        for arguments in tool.runs {
            let (program, arguments) = command(tool, arguments, &host);
            println!("==> {}: {program} {}", tool.name, arguments.join(" "));
            let status = Command::new(&program)
                .args(&arguments)
                .envs(environment(tool, &host))
                .current_dir(root)
                .status()
                .with_context(|| format!("cannot start {program}"))?;
            ensure!(status.success(), "`{}` found a fault or could not run ({status})", tool.name);
        }
    }
    Ok(())
}

/// Returns the tools of these names in the table's order, or all of them for an empty list.
fn select(names: &[&str]) -> anyhow::Result<Vec<&'static Tool>> {
    if let Some(name) = names.iter().find(|name| TOOLS.iter().all(|it| it.name != **name)) {
        bail!("unknown tool `{name}`; expected one of {}", TOOLS.map(|it| it.name).join(", "));
    }
    Ok(TOOLS.iter().filter(|it| names.is_empty() || names.contains(&it.name)).collect())
}

/// Returns this machine's target.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` does not print the host")
}

/// Returns the program and the arguments of a run.
fn command(tool: &Tool, arguments: &[&str], host: &str) -> (String, Vec<String>) {
    let arguments = arguments.iter().map(|it| if *it == HOST { host } else { it }.to_owned());
    match tool.needs {
        Need::Nightly(_) => {
            let before = ["run", "nightly", "cargo"].map(str::to_owned);
            ("rustup".to_owned(), before.into_iter().chain(arguments).collect())
        }
        Need::Program(_) => ("cargo".to_owned(), arguments.collect()),
    }
}

fn environment(tool: &Tool, host: &str) -> Vec<(String, &'static str)> {
    let capitals = host.to_uppercase().replace(['-', '.'], "_");
    tool.env.iter().map(|(key, value)| (key.replace(HOST, &capitals), *value)).collect()
}

/// Returns an error with the install command if a requirement is missing.
fn check_need(tool: &Tool) -> anyhow::Result<()> {
    let works = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|it| it.status.success())
    };
    match tool.needs {
        Need::Program(program) => {
            ensure!(works(program, &["--version"]), "{}: install {program}", tool.name);
        }
        Need::Nightly(components) => {
            let mut install = "rustup toolchain install nightly --profile minimal".to_owned();
            for component in components {
                install += &format!(" --component {component}");
            }
            let has_miri = || works("rustup", &["run", "nightly", "cargo", "miri", "--version"]);
            let is_there = if components.contains(&"miri") {
                has_miri()
            } else {
                works("rustup", &["run", "nightly", "rustc", "--version"])
            };
            ensure!(is_there, "{}: a component is missing; run `{install}`", tool.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_unknown_tool() {
        let error = select(&["thread"]).err().unwrap().to_string();
        assert!(error.contains("`thread`") && error.contains("memcheck"), "{error}");
        assert_eq!(select(&[]).unwrap().len(), TOOLS.len());
        assert_eq!(select(&["miri"]).unwrap()[0].name, "miri");
    }

    #[test]
    fn replaces_host_in_arguments_and_variables() {
        let host = "x86_64-unknown-linux-gnu";
        let (program, arguments) = command(&TOOLS[0], TOOLS[0].runs[0], host);
        assert_eq!(program, "rustup");
        let words = arguments.join(" ");
        assert!(
            words.starts_with(
                "run nightly cargo test --package uni-instruct-kernels --target x86_64-"
            )
        );
        let runner = &environment(&TOOLS[1], host)[0];
        assert_eq!(runner.0, "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER");
        assert!(runner.1.starts_with("valgrind"));
    }

    #[test]
    fn finds_target_of_this_machine() {
        assert!(host().unwrap().split('-').count() >= 3);
    }
}
