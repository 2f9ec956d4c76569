//! `cargo xtask sanitize`: the operations' tests under tools that see what tests alone do not.
//!
//! A kernel that reads past its operand may well compute the right numbers. Each tool sees another
//! part of that, so there are three; `docs/extending.md` says which sees what.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// A tool and what it is run on.
struct Tool {
    name: &'static str,
    /// What must be there, and how one gets it.
    needs: Need,
    /// Arguments to cargo, one list a run. `HOST` stands for this machine's target.
    runs: &'static [&'static [&'static str]],
    /// Environment of the runs.
    env: &'static [(&'static str, &'static str)],
}

/// What a tool needs besides the ordinary toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A nightly toolchain with these components.
    Nightly(&'static [&'static str]),
    /// A program.
    Program(&'static str),
}

/// Stands for this machine's target, in arguments as it is and in variables in capitals.
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
            // One at a time: valgrind runs one thread at a time anyway, and the tests wait for the
            // limit on the kernels.
            &[
                "test",
                "--package",
                "uni-instruct-kernels",
                "--test",
                "bad_input",
                "--",
                "--test-threads",
                "1",
                // Runs everything at every size twice over: half an hour.
                "--skip",
                "scratch",
            ],
        ],
        env: &[("CARGO_TARGET_HOST_RUNNER", "valgrind --quiet --error-exitcode=9")],
    },
    Tool {
        name: "miri",
        needs: Need::Nightly(&["miri", "rust-src"]),
        // What all kernels stand on; a kernel itself, through a tensor, takes Miri an hour.
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
            // rayon's queues break the stacked borrows, and its threads end with the process.
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
            ensure!(status.success(), "`{}` found a fault, or could not run ({status})", tool.name);
        }
    }
    Ok(())
}

/// The tools of these names in the table's order; all of them for an empty list.
fn select(names: &[&str]) -> anyhow::Result<Vec<&'static Tool>> {
    if let Some(name) = names.iter().find(|name| TOOLS.iter().all(|it| it.name != **name)) {
        bail!("no tool `{name}`; there are: {}", TOOLS.map(|it| it.name).join(", "));
    }
    Ok(TOOLS.iter().filter(|it| names.is_empty() || names.contains(&it.name)).collect())
}

/// This machine's target.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// Program and arguments of a run.
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

/// Says what to install where something is missing.
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
            let is_there = match components.contains(&"miri") {
                true => has_miri(),
                false => works("rustup", &["run", "nightly", "rustc", "--version"]),
            };
            ensure!(is_there, "{}: `{install}` gets what it needs", tool.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_tool_is_named_with_what_exists() {
        let error = select(&["thread"]).err().unwrap().to_string();
        assert!(error.contains("`thread`") && error.contains("memcheck"), "{error}");
        assert_eq!(select(&[]).unwrap().len(), TOOLS.len());
        assert_eq!(select(&["miri"]).unwrap()[0].name, "miri");
    }

    #[test]
    fn the_host_stands_in_arguments_and_variables() {
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
    fn this_machine_has_a_target() {
        assert!(host().unwrap().split('-').count() >= 3);
    }
}
