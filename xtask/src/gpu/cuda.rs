//! Checks of the CUDA kernels and their host code on a machine without an NVIDIA GPU.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::mock::{Mock, Threads};
use super::toolkit::Toolkit;
use super::{Step, call, report};

/// The steps, cheapest first.
pub const STEPS: [Step; 4] =
    [("cuda-kernels", kernels), ("cuda-types", types), ("cuda-host", host), ("cuda-races", races)];

/// GPUs for which machine code is generated: the oldest supported one and the newest measured one.
const ARCHITECTURES: [&str; 2] = ["sm_80", "sm_90"];

/// Schedules of the threads of a block; the first two are fixed, the others random.
const SCHEDULES: u32 = 6;

/// The packages whose tests together launch every kernel: operations, then whole networks.
const TESTED: [&str; 2] = ["uni-instruct-kernels", "uni-instruct-models"];

/// The package whose tests run whole updates.
const STEPPED: &str = "uni-instruct-train";

/// Compiles every kernel to machine code with NVIDIA's compiler. Registers must not spill to
/// memory.
fn kernels(root: &Path) -> anyhow::Result<()> {
    let toolkit = Toolkit::find(root)?;
    let folder = toolkit.target.join("cubin");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for architecture in ARCHITECTURES {
        for source in toolkit.kernels()? {
            let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let mut command = Command::new(toolkit.nvcc());
            command.args(["-cubin", "-std=c++17", "-O3", "-Xptxas", "-v", "-arch", architecture]);
            command.arg("-o").arg(folder.join(format!("{name}.{architecture}"))).arg(&source);
            let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
            let text = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{command:?} failed:\n{text}");
            let usage = report::usage(&text)?;
            let spilled: Vec<_> = usage.iter().filter(|it| 0 < it.spilled).collect();
            ensure!(
                spilled.is_empty(),
                "{name}, {architecture}: registers spill to memory: {spilled:?}"
            );
            let most = usage.iter().map(|it| it.registers).max().unwrap_or(0);
            println!(
                "{architecture}: {name:<12} {:>3} kernels, at most {most:>3} registers, no spills",
                usage.len()
            );
        }
    }
    Ok(())
}

/// Runs clippy with the feature enabled, in every crate that has it.
fn types(root: &Path) -> anyhow::Result<()> {
    let mut command = Toolkit::find(root)?.cargo()?;
    command.args(["clippy", "--locked", "--all-targets"]);
    for package in ["-kernels", "-models", "-metrics", "-train", ""] {
        let package = format!("uni-instruct{package}");
        command.args(["--package", &package, "--features", &format!("{package}/cuda")]);
    }
    command.args(["--package", "benches", "--features", "benches/cuda"]);
    call(command.args(["--", "-D", "warnings"]))
}

/// Runs every operation, whole networks and training updates on the mock driver, under all
/// schedules. Every kernel must be launched.
fn host(root: &Path) -> anyhow::Result<()> {
    let toolkit = Toolkit::find(root)?;
    let mock = Mock::build(&toolkit, Threads::Fibers)?;
    println!("{} kernels, {} of them candle's", mock.kernels, mock.kernels - mock.own.len());
    let programs = Program::build_all(&toolkit)?;
    let of = |package| Program::of(&programs, package);
    let mut launched = BTreeSet::new();
    for package in TESTED {
        launched.extend(traced(&mut of(package)?.run(&mock.runner(0)))?);
    }
    let missing: Vec<_> = mock.own.iter().filter(|it| !launched.contains(*it)).collect();
    ensure!(missing.is_empty(), "kernels that no test launches: {missing:?}");
    for schedule in 1..SCHEDULES {
        println!("schedule {schedule}");
        for package in TESTED {
            call(&mut of(package)?.run(&mock.runner(schedule)))?;
        }
    }
    call(&mut of(STEPPED)?.run(&mock.runner(0)))
}

/// Runs the kernels whose threads share memory under the thread sanitizer, with the threads of a
/// block as threads of the operating system.
fn races(root: &Path) -> anyhow::Result<()> {
    let toolkit = Toolkit::find(root)?;
    let mock = Mock::build(&toolkit, Threads::System)?;
    let programs = Program::build_all(&toolkit)?;
    let mut command = Program::of(&programs, TESTED[0])?.run(&mock.runner(0));
    call(command.args(["--test-threads", "1", "races::"]))
}

/// A compiled test program that runs against a CUDA driver.
struct Program {
    package: &'static str,
    executable: PathBuf,
    /// Folder of the package, in which cargo would run it.
    folder: PathBuf,
    /// Folder of the empty libraries that it is linked with.
    stubs: PathBuf,
}

impl Program {
    /// Compiles the test programs of all packages in one build, because each selection of packages would
    /// compile candle anew.
    fn build_all(toolkit: &Toolkit) -> anyhow::Result<Vec<Self>> {
        let packages = [TESTED[0], TESTED[1], STEPPED];
        let mut command = toolkit.cargo()?;
        command.args(["test", "--locked", "--no-run", "--test", "gpu"]);
        for package in packages {
            command.args(["--package", package, "--features", &format!("{package}/cuda")]);
        }
        command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
        let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
        ensure!(output.status.success(), "{command:?} failed ({})", output.status);
        let lines = String::from_utf8(output.stdout)?;
        let messages = lines.lines().map(serde_json::from_str);
        let messages: Vec<serde_json::Value> = messages.collect::<Result<_, _>>()?;
        let program = |package: &'static str| {
            let crates = toolkit.root.join("crates");
            let folder = crates.join(package.trim_start_matches("uni-instruct-"));
            let found = messages.iter().find_map(|it| {
                let source = Path::new(it["target"]["src_path"].as_str()?);
                let executable = it["executable"].as_str()?;
                source.starts_with(&folder).then(|| PathBuf::from(executable))
            });
            let executable = found.with_context(|| format!("{package} has no test program gpu"))?;
            Ok(Self { package, executable, folder, stubs: toolkit.stubs() })
        };
        packages.into_iter().map(program).collect()
    }

    fn of<'a>(programs: &'a [Self], package: &str) -> anyhow::Result<&'a Self> {
        let found = programs.iter().find(|it| it.package == package);
        found.with_context(|| format!("no test program of {package}"))
    }

    /// Returns the command that runs it under a runner: words of a command line.
    fn run(&self, runner: &str) -> Command {
        let mut words = runner.split(' ');
        let mut command = Command::new(words.next().unwrap_or("env"));
        command.args(words).arg(&self.executable).current_dir(&self.folder);
        command.env("LD_LIBRARY_PATH", &self.stubs);
        command
    }
}

/// Runs tests and returns the names of the kernels that were launched.
fn traced(command: &mut Command) -> anyhow::Result<BTreeSet<String>> {
    command.env("CUDAMOCK_TRACE", "1").stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let output = child.wait_with_output().context("the tests' output")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let (launches, rest) = report::launches(&text);
    eprint!("{rest}");
    ensure!(output.status.success(), "{command:?} failed ({})", output.status);
    Ok(launches)
}
