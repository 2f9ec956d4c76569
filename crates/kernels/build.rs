//! Compiles the CUDA kernels to PTX, if the feature `cuda` is on.
//!
//! PTX is for a virtual architecture. The driver compiles it for the GPU of the machine on first
//! use. The compiler is `$NVCC`, or `nvcc` on the path, or `nvcc` of `$CUDA_HOME`.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Oldest supported GPUs: the first with arithmetic in bf16.
const ARCHITECTURE: &str = "compute_80";

const OPERATIONS: &str = "src";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    println!("cargo::rerun-if-changed={OPERATIONS}");
    println!("cargo::rerun-if-env-changed=NVCC");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let nvcc = compiler();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    for source in sources()? {
        let name = source.file_stem().ok_or("a kernel file without a name")?;
        let target = out.join(name).with_extension("ptx");
        compile(&nvcc, &source, &target)?;
    }
    Ok(())
}

fn compiler() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC") {
        return nvcc.into();
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|it| it.join("nvcc")).find(|it| it.is_file());
    let toolkit = || env::var_os("CUDA_HOME").map(|it| PathBuf::from(it).join("bin/nvcc"));
    found.or_else(toolkit).unwrap_or_else(|| "nvcc".into())
}

/// The `.cu` files. Each operation with kernels has one with the name of its folder.
fn sources() -> std::io::Result<Vec<PathBuf>> {
    let mut sources = Vec::new();
    for entry in Path::new(OPERATIONS).read_dir()? {
        let folder = entry?.path();
        if let Some(name) = folder.file_name().filter(|_| folder.is_dir()) {
            let source = folder.join(name).with_extension("cu");
            sources.extend(source.is_file().then_some(source));
        }
    }
    sources.sort();
    Ok(sources)
}

fn compile(nvcc: &Path, source: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let mut command = Command::new(nvcc);
    command.args(["--ptx", "-std=c++17", "-O3", "-arch", ARCHITECTURE, "-o"]);
    let status = command.arg(target).arg(source).status().map_err(|error| {
        format!("cannot start `{}`: {error}; set NVCC to the CUDA compiler", nvcc.display())
    })?;
    if status.success() { Ok(()) } else { Err(format!("`{command:?}` failed ({status})").into()) }
}
