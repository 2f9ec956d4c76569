//! PyTorch: the Python that runs it, and in which ways it is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::variant::FRECHET;

/// Names an existing Python with the packages of `benches/peer/requirements.txt`.
const PYTHON_VARIABLE: &str = "UNI_INSTRUCT_PEER_PYTHON";
/// A library that keeps freed memory: what PyTorch gains from it is not ours to claim.
const TCMALLOC: &str = "libtcmalloc_minimal.so.4";

/// The peer's interpreter and script.
#[derive(Clone, Debug)]
pub struct Peer {
    python: PathBuf,
    script: PathBuf,
}

/// A way of running PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct Mode<'a> {
    /// `--mode` of the script.
    pub name: &'a str,
    /// A library to be loaded before all others.
    pub preload: Option<&'a Path>,
    /// Threads.
    pub threads: usize,
}

impl Peer {
    /// The Python that the environment names, or one of our own, made where there is none.
    ///
    /// # Errors
    ///
    /// If it has no PyTorch, or cannot be made.
    pub fn find(root: &Path) -> anyhow::Result<Self> {
        let folder = root.join("benches").join("peer");
        let python = match std::env::var_os(PYTHON_VARIABLE) {
            Some(python) => PathBuf::from(python),
            None => own_python(root, &folder.join("requirements.txt"))?,
        };
        let peer = Self { python, script: folder.join("peer.py") };
        peer.version()?;
        Ok(peer)
    }

    /// PyTorch's version.
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
            .with_context(|| format!("{python}: cannot be started; see {PYTHON_VARIABLE}"))?;
        ensure!(
            output.status.success(),
            "{python}: lacks torch or safetensors of benches/peer/requirements.txt"
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Whether it can be the peer for this act: the distance of features needs SciPy beside PyTorch.
    pub fn can(&self, act: &str) -> bool {
        let imports = |package: &str| {
            let mut command = Command::new(&self.python);
            command.args(["-c", &format!("import {package}")]);
            command.output().is_ok_and(|it| it.status.success())
        };
        act != FRECHET || imports("scipy")
    }

    /// The script on what was recorded in `folder`; `verb` is `verify` or `run`.
    pub fn command(&self, verb: &str, folder: &Path, mode: Mode<'_>) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg(verb).arg(folder).args(["--mode", mode.name]);
        command.args(["--threads", &mode.threads.to_string()]);
        // Its threads sleep soon after a parallel loop, and so do not take the next variant's cores.
        command.env("OMP_NUM_THREADS", mode.threads.to_string()).env_remove("OMP_WAIT_POLICY");
        if let Some(library) = mode.preload {
            command.env("LD_PRELOAD", library);
        }
        command
    }

    /// Compares the peer's numbers with ours; returns the relative errors as text.
    ///
    /// # Errors
    ///
    /// If they differ: then a time would compare two different things.
    pub fn verify(&self, folder: &Path, mode: Mode<'_>) -> anyhow::Result<String> {
        let mut command = self.command("verify", folder, mode);
        let output = command.stderr(std::process::Stdio::inherit()).output()?;
        ensure!(
            output.status.success(),
            "{}: PyTorch ({}) computes something else; its message is above",
            folder.display(),
            mode.name
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// A virtual environment in the build folder, with the pinned packages.
fn own_python(root: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("target").join("peer").join("venv");
    let python = folder.join("bin").join("python");
    let done = folder.join("requirements.txt");
    let wanted =
        std::fs::read(requirements).with_context(|| format!("{}", requirements.display()))?;
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!(
        "bench: installing PyTorch into {} (gigabytes; {PYTHON_VARIABLE} names an existing one)",
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
    std::fs::write(&done, wanted).with_context(|| format!("{}", done.display()))?;
    Ok(python)
}

/// Where the dynamic linker finds tcmalloc, if it is installed.
pub fn tcmalloc() -> Option<PathBuf> {
    // Not on the path of ordinary users everywhere.
    let programs = ["ldconfig", "/sbin/ldconfig"];
    let output = programs.iter().find_map(|it| Command::new(it).arg("-p").output().ok())?;
    path_in_cache(&String::from_utf8_lossy(&output.stdout)).map(PathBuf::from)
}

/// The path in a line `\tlibrary (libc6,x86-64) => path`.
fn path_in_cache(cache: &str) -> Option<&str> {
    let line = cache.lines().find(|it| it.split_whitespace().next() == Some(TCMALLOC))?;
    line.split_once("=> ").map(|(_, path)| path.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_by_its_whole_name() {
        let cache = "2 libs found\n\tlibtcmalloc_minimal.so.4.5 (libc6) => /lib/b\n\
                     \tlibtcmalloc_minimal.so.4 (libc6,x86-64) => /lib/a\n";
        assert_eq!(path_in_cache(cache), Some("/lib/a"));
        assert_eq!(path_in_cache("\tlibm.so.6 (libc6) => /lib/m\n"), None);
    }
}
