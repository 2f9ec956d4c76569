//! The mock CUDA driver: the kernels of candle and of this workspace, compiled for the CPU into a
//! shared library that is loaded before the real driver.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::{Context, ensure};

use super::call;
use super::report::kernel_names;
use super::toolkit::{Toolkit, files};

/// candle's kernels that the tests call; its quantized types and its sort are excluded.
const CANDLE: [&str; 9] =
    ["fill", "affine", "unary", "binary", "ternary", "cast", "indexing", "reduce", "conv"];

/// Implementation of the threads of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Fibers, in a selectable order.
    Fibers,
    /// Threads of the operating system, under the thread sanitizer.
    System,
}

/// The compiled library.
pub struct Mock {
    library: PathBuf,
    threads: Threads,
    /// Suppressions for the sanitizer.
    suppressions: PathBuf,
    /// Names of this workspace's kernels.
    pub own: BTreeSet<String>,
    /// Number of kernels, including candle's.
    pub kernels: usize,
}

/// A source file that compiles to one object.
struct Unit {
    source: PathBuf,
    /// Header included before a kernel's source; none for files of the driver, which are plain C++.
    prelude: Option<&'static str>,
    is_own: bool,
}

impl Mock {
    /// Compiles sources that are newer than their objects.
    ///
    /// # Errors
    ///
    /// If this is not Linux on x86-64, for which the fibers are written, or a compiler fails.
    pub fn build(toolkit: &Toolkit, threads: Threads) -> anyhow::Result<Self> {
        ensure!(
            cfg!(all(target_arch = "x86_64", target_os = "linux")),
            "the mock driver requires Linux on x86-64"
        );
        let name = match threads {
            Threads::Fibers => "fibers",
            Threads::System => "threads",
        };
        let folder = toolkit.target.join("mock").join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let units = units(toolkit, name)?;
        let compiler = Compiler::new(toolkit, threads, &folder)?;
        let found = compiler.compile_all(&units)?;
        let library = folder.join("libcudamock.so");
        let mut command = Command::new("g++");
        command.args(["-shared", "-Wl,-soname,libcudamock.so", "-Wl,--allow-multiple-definition"]);
        command.args(compiler.sanitizer).arg("-o").arg(&library);
        command.args(units.iter().map(|it| compiler.object(&it.source)));
        call(command.arg("-lpthread"))?;
        let kernels = found.iter().map(|it| it.1.len()).sum();
        let own = found.into_iter().filter(|it| it.0).flat_map(|it| it.1).collect();
        let suppressions = toolkit.root.join("ci/gpu/mock/tsan.txt");
        Ok(Self { library, threads, suppressions, own, kernels })
    }

    /// Returns the words of the command that starts a test program.
    pub fn runner(&self, schedule: u32) -> String {
        let library = self.library.display();
        match self.threads {
            Threads::Fibers => format!("env CUDAMOCK_SCHEDULE={schedule} LD_PRELOAD={library}"),
            // The sanitizer requires address space randomization to be off.
            Threads::System => format!(
                "setarch -R env TSAN_OPTIONS=halt_on_error=1:exitcode=66:suppressions={} \
                 LD_PRELOAD=libtsan.so.2:{library}",
                self.suppressions.display()
            ),
        }
    }
}

fn units(toolkit: &Toolkit, threads: &str) -> anyhow::Result<Vec<Unit>> {
    let candle = candle_kernels(toolkit)?;
    let mut units: Vec<_> = CANDLE
        .iter()
        .map(|name| Unit {
            source: candle.join(name).with_extension("cu"),
            prelude: Some("candle_cpu.h"),
            is_own: false,
        })
        .collect();
    let own = toolkit.kernels()?;
    units.extend(own.into_iter().map(|source| Unit {
        source,
        prelude: Some("cuda_cpu.h"),
        is_own: true,
    }));
    let ci = toolkit.root.join("ci/gpu");
    let runtime = format!("shim/gpu_rt_{threads}.cpp");
    for file in ["shim/gpu_rt.cpp", &runtime, "mock/driver.cpp", "mock/libraries.cpp"] {
        units.push(Unit { source: ci.join(file), prelude: None, is_own: false });
    }
    Ok(units)
}

/// Returns cargo's folder of the sources of candle's kernels.
fn candle_kernels(toolkit: &Toolkit) -> anyhow::Result<PathBuf> {
    let mut command = toolkit.cargo()?;
    command.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--features",
        "uni-instruct-kernels/cuda",
    ]);
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed:\n{error}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata: no packages")?;
    let found = packages.iter().find(|it| it["name"] == "candle-kernels");
    let manifest = found.and_then(|it| it["manifest_path"].as_str());
    let manifest = Path::new(manifest.context("cargo metadata: no candle-kernels")?);
    Ok(manifest.parent().context("a manifest without a folder")?.join("src"))
}

struct Compiler<'a> {
    flags: Vec<String>,
    sanitizer: &'static [&'static str],
    folder: &'a Path,
    /// Modification time of the newest header.
    headers: SystemTime,
}

impl<'a> Compiler<'a> {
    fn new(toolkit: &Toolkit, threads: Threads, folder: &'a Path) -> anyhow::Result<Self> {
        let ci = toolkit.root.join("ci/gpu");
        let include = toolkit.home.join("include");
        let mut flags: Vec<String> = [
            // Warnings come from candle's and NVIDIA's sources.
            "-std=c++17",
            "-O2",
            "-w",
            "-fPIC",
            "-fno-strict-aliasing",
            // A GPU contracts products and sums, so its results differ from this CPU's in the last
            // bits.
            "-ffp-contract=off",
            "-D__CUDACC_VER_MAJOR__=13",
            "-D__CUDACC_VER_MINOR__=0",
        ]
        .map(str::to_owned)
        .into();
        for system in [include.clone(), include.join("cccl")] {
            flags.extend(["-isystem".to_owned(), system.display().to_string()]);
        }
        let own = ["shim", "mock"].map(|it| ci.join(it));
        flags.extend(own.iter().map(|it| format!("-I{}", it.display())));
        let mut headers = SystemTime::UNIX_EPOCH;
        let shared = toolkit.root.join("crates/kernels/src/gpu");
        for (folder, extension) in [(&own[0], "h"), (&own[1], "h"), (&shared, "cuh")] {
            for file in files(folder, extension)? {
                headers = headers.max(written(&file)?);
            }
        }
        let sanitizer: &[_] = match threads {
            Threads::Fibers => &[],
            Threads::System => &["-fsanitize=thread", "-g"],
        };
        Ok(Self { flags, sanitizer, folder, headers })
    }

    fn object(&self, source: &Path) -> PathBuf {
        self.folder.join(source.file_stem().unwrap_or_default()).with_extension("o")
    }

    /// Compiles the units on all processors. Returns for each unit whether its kernels belong to
    /// this workspace, and their names.
    fn compile_all(&self, units: &[Unit]) -> anyhow::Result<Vec<(bool, BTreeSet<String>)>> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let queue = Mutex::new(units.iter());
        let next = || queue.lock().map_or(None, |mut it| it.next());
        let work = || -> anyhow::Result<Vec<_>> {
            let mut done = Vec::new();
            while let Some(unit) = next() {
                let names = self.compile(unit);
                done.push((unit.is_own, names.with_context(|| unit.source.display().to_string())?));
            }
            Ok(done)
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::new();
            for worker in workers {
                all.extend(
                    worker.join().map_err(|_| anyhow::anyhow!("a compiler thread panicked"))??,
                );
            }
            Ok(all)
        })
    }

    /// Compiles a unit and returns the names of its kernels.
    fn compile(&self, unit: &Unit) -> anyhow::Result<BTreeSet<String>> {
        let object = self.object(&unit.source);
        let is_current =
            object.is_file() && self.headers.max(written(&unit.source)?) < written(&object)?;
        let Some(prelude) = unit.prelude else {
            if !is_current {
                call(self.compiler(None).arg("-c").arg(&unit.source).arg("-o").arg(&object))?;
            }
            return Ok(BTreeSet::new());
        };
        let mut command = self.compiler(Some(prelude));
        command.args(["-DGPU_LIST_KERNELS", "-E", "-P", "-x", "c++"]).arg(&unit.source);
        let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed:\n{error}");
        let names = kernel_names(&String::from_utf8_lossy(&output.stdout));
        ensure!(!names.is_empty(), "no kernels");
        if !is_current {
            let generated = object.with_extension("gen.cpp");
            fs::write(&generated, registration(&unit.source, &names))?;
            let mut command = self.compiler(Some(prelude));
            call(command.args(["-x", "c++", "-c"]).arg(generated).arg("-o").arg(&object))?;
        }
        Ok(names)
    }

    fn compiler(&self, prelude: Option<&str>) -> Command {
        let mut command = Command::new("g++");
        command.args(&self.flags).args(self.sanitizer);
        if let Some(prelude) = prelude {
            command.args(["-include", prelude]);
        }
        command
    }
}

/// Returns a source that registers another source's kernels with the driver.
fn registration(source: &Path, names: &BTreeSet<String>) -> String {
    let row = |name: &String| format!("kernels()[\"{name}\"] = Registered<&{name}>::entry();\n");
    let rows: String = names.iter().map(row).collect();
    format!(
        "#include \"{}\"\n#include \"registry.h\"\n\
         namespace {{ struct Register {{ Register() {{\n{rows}}} }} registered; }}\n",
        source.display()
    )
}

fn written(file: &Path) -> anyhow::Result<SystemTime> {
    let metadata = fs::metadata(file).with_context(|| file.display().to_string())?;
    Ok(metadata.modified()?)
}
