//! PyTorch as the peer: its Python and its modes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::variant::FRECHET;

/// Variable that names an existing Python with the packages of `benches/peer/requirements.txt`.
const PYTHON_VARIABLE: &str = "UNI_INSTRUCT_PEER_PYTHON";
/// Library that keeps freed memory. PyTorch's gain from it must not count as ours.
const TCMALLOC: &str = "libtcmalloc_minimal.so.4";

/// The peer's interpreter and script.
#[derive(Clone, Debug)]
pub struct Peer {
    python: PathBuf,
    script: PathBuf,
}

/// Mode of PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct Mode<'a> {
    /// Value of the script's `--mode`.
    pub name: &'a str,
    /// Library to load before all others.
    pub preload: Option<&'a Path>,
    /// Number of threads.
    pub threads: usize,
}

impl Peer {
    /// Finds the Python that the environment names, or creates an environment in the build folder.
    ///
    /// # Errors
    ///
    /// If the Python has no PyTorch, or the environment cannot be created.
    pub fn find(root: &Path) -> anyhow::Result<Self> {
        let folder = root.join("benches").join("peer");
        let python = match std::env::var_os(PYTHON_VARIABLE) {
            Some(python) => PathBuf::from(python),
            None => create_environment(root, &folder.join("requirements.txt"))?,
        };
        let peer = Self { python, script: folder.join("peer.py") };
        peer.version()?;
        Ok(peer)
    }

    /// Returns PyTorch's version.
    ///
    /// # Errors
    ///
    /// If the interpreter or the packages are missing.
    pub fn version(&self) -> anyhow::Result<String> {
        let script = "import torch, safetensors; print(torch.__version__)";
        let python = self.python.display();
        let output = Command::new(&self.python)
            .args(["-c", script])
            .output()
            .with_context(|| format!("cannot start {python}; set {PYTHON_VARIABLE} to a Python"))?;
        ensure!(
            output.status.success(),
            "{python}: torch or safetensors is missing; install benches/peer/requirements.txt"
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Tests whether the peer can run this kind of case. The distance of features requires SciPy in
    /// addition to PyTorch.
    pub fn supports(&self, kind: &str) -> bool {
        let imports = |package: &str| {
            let mut command = Command::new(&self.python);
            command.args(["-c", &format!("import {package}")]);
            command.output().is_ok_and(|it| it.status.success())
        };
        kind != FRECHET || imports("scipy")
    }

    /// Returns the script's command for the files in `folder`; `verb` is `verify` or `run`.
    pub fn command(&self, verb: &str, folder: &Path, mode: Mode<'_>) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg(verb).arg(folder).args(["--mode", mode.name]);
        command.args(["--threads", &mode.threads.to_string()]);
        // Its threads then sleep soon after a parallel loop and do not occupy the next variant's
        // cores.
        command.env("OMP_NUM_THREADS", mode.threads.to_string()).env_remove("OMP_WAIT_POLICY");
        if let Some(library) = mode.preload {
            command.env("LD_PRELOAD", library);
        }
        command
    }

    /// Compares the peer's values with ours; returns the relative errors as text.
    ///
    /// # Errors
    ///
    /// If they differ, because the times would then compare different computations.
    pub fn verify(&self, folder: &Path, mode: Mode<'_>) -> anyhow::Result<String> {
        let mut command = self.command("verify", folder, mode);
        let output = command.stderr(std::process::Stdio::inherit()).output()?;
        ensure!(
            output.status.success(),
            "{}: PyTorch ({}) computes other values; its message is above",
            folder.display(),
            mode.name
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Creates a virtual environment with the pinned packages in the build folder.
fn create_environment(root: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("target").join("peer").join("venv");
    let python = folder.join("bin").join("python");
    let done = folder.join("requirements.txt");
    let required =
        std::fs::read(requirements).with_context(|| format!("{}", requirements.display()))?;
    if std::fs::read(&done).is_ok_and(|installed| installed == required) {
        return Ok(python);
    }
    println!(
        "bench: installing PyTorch into {} (gigabytes; to avoid this, set {PYTHON_VARIABLE})",
        folder.display()
    );
    let run = |command: &mut Command| -> anyhow::Result<()> {
        let status = command.status().with_context(|| {
            format!("cannot start {:?}; install Python 3 with venv", command.get_program())
        })?;
        ensure!(status.success(), "{command:?}: {status}");
        Ok(())
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--requirement"]).arg(requirements))?;
    std::fs::write(&done, required).with_context(|| format!("{}", done.display()))?;
    Ok(python)
}

/// Returns the dynamic linker's path of tcmalloc, if it is installed.
pub fn tcmalloc() -> Option<PathBuf> {
    // Not every user has this folder in the search path.
    let programs = ["ldconfig", "/sbin/ldconfig"];
    let output = programs.iter().find_map(|it| Command::new(it).arg("-p").output().ok())?;
    path_in_cache(&String::from_utf8_lossy(&output.stdout)).map(PathBuf::from)
}

/// Returns the path in a line `\tlibrary (libc6,x86-64) => path`.
fn path_in_cache(cache: &str) -> Option<&str> {
    let line = cache.lines().find(|it| it.split_whitespace().next() == Some(TCMALLOC))?;
    line.split_once("=> ").map(|(_, path)| path.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_library_by_whole_name() {
        let cache = "2 libs found\n\tlibtcmalloc_minimal.so.4.5 (libc6) => /lib/b\n\
                     \tlibtcmalloc_minimal.so.4 (libc6,x86-64) => /lib/a\n";
        assert_eq!(path_in_cache(cache), Some("/lib/a"));
        assert_eq!(path_in_cache("\tlibm.so.6 (libc6) => /lib/m\n"), None);
    }
}
