//! Location of NVIDIA's compiler, and the environment of builds with the feature `cuda`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::call;

/// Libraries for which empty ones are linked. At run time the mock driver or the real libraries are
/// loaded before them.
const LIBRARIES: [&str; 6] = ["cuda", "cudart", "cublas", "cublasLt", "curand", "nvrtc"];

/// NVIDIA's compiler and headers, and the folders of the checks.
pub struct Toolkit {
    /// The workspace's root.
    pub root: PathBuf,
    /// Folder with `bin/nvcc` and `include`.
    pub home: PathBuf,
    /// Build folder of the checks, inside `target`.
    pub target: PathBuf,
}

impl Toolkit {
    /// Finds the toolkit of `$CUDA_HOME`, or installs one with `.ci/gpu-setup`.
    ///
    /// # Errors
    ///
    /// If `$CUDA_HOME` has no compiler, or the installation fails.
    pub fn find(root: &Path) -> anyhow::Result<Self> {
        let target = root.join("target/gpu");
        fs::create_dir_all(&target).with_context(|| target.display().to_string())?;
        if let Some(home) = env::var_os("CUDA_HOME").map(PathBuf::from) {
            let nvcc = home.join("bin/nvcc");
            ensure!(
                nvcc.is_file(),
                "CUDA_HOME: {} does not exist; set CUDA_HOME to a CUDA toolkit or unset it",
                nvcc.display()
            );
            return Ok(Self { root: root.into(), home, target });
        }
        call(Command::new("bash").arg(".ci/gpu-setup").current_dir(root))?;
        Ok(Self { root: root.into(), home: target.join("toolkit/nvidia/cu13"), target })
    }

    /// Path of the compiler.
    pub fn nvcc(&self) -> PathBuf {
        self.home.join("bin/nvcc")
    }

    /// Returns the `.cu` files of this workspace's operations.
    pub fn kernels(&self) -> anyhow::Result<Vec<PathBuf>> {
        let operations = self.root.join("crates/kernels/src");
        let mut found = Vec::new();
        for entry in operations.read_dir().with_context(|| operations.display().to_string())? {
            found.extend(files(&entry?.path(), "cu")?);
        }
        found.sort();
        ensure!(!found.is_empty(), "{}: found no `.cu` files", operations.display());
        Ok(found)
    }

    /// Returns the folder of empty libraries that take the place of CUDA's.
    pub fn stubs(&self) -> PathBuf {
        self.target.join("stubs")
    }

    /// Returns cargo with the environment for crates with the feature `cuda`.
    ///
    /// The linker receives empty libraries and ignores unresolved symbols.
    pub fn cargo(&self) -> anyhow::Result<Command> {
        let stubs = self.stubs();
        fs::create_dir_all(&stubs).with_context(|| stubs.display().to_string())?;
        for name in LIBRARIES {
            let path = stubs.join(format!("lib{name}.so"));
            if !path.is_file() {
                call(Command::new("cc").args(["-shared", "-x", "c", "/dev/null", "-o"]).arg(path))?;
            }
        }
        let stand_in = self.root.join("ci/gpu");
        let mut path = OsString::from(&stand_in);
        if let Some(rest) = env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        let flags = format!(
            "-L native={} -C link-arg=-Wl,--unresolved-symbols=ignore-all",
            stubs.display()
        );
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .current_dir(&self.root)
            .env("CUDA_HOME", &self.home)
            .env("REAL_NVCC", self.nvcc())
            .env("NVCC", stand_in.join("nvcc"))
            .env("CUDA_COMPUTE_CAP", "80")
            .env("PATH", path)
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", &self.target);
        Ok(command)
    }
}

/// Returns the files with an extension in a folder; none if the folder does not exist.
pub fn files(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for entry in folder.read_dir().with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
