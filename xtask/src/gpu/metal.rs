//! Checks of the Metal kernels and their host code on a machine without Metal.
//!
//! Each package under `ci/gpu/metal` is a separate workspace. Two of them replace registry crates
//! with modified copies that this module writes to `target/metal`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::{Step, call as run};

/// The steps, cheapest first.
pub const STEPS: [Step; 5] = [
    ("metal-kernels", kernels),
    ("metal-spaces", spaces),
    ("metal-races", races),
    ("metal-types", types),
    ("metal-host", host),
];

/// Linker flags that ignore symbols that only Apple's runtime defines; the tests never call them.
const LAZY: [&str; 3] = [
    "-Crelro-level=partial",
    "-Clink-arg=-Wl,-z,lazy",
    "-Clink-arg=-Wl,--unresolved-symbols=ignore-all",
];

/// Libraries of that runtime. Empty ones take their place.
const RUNTIME: [&str; 3] = ["objc", "gnustep-base", "dispatch"];

/// Compilers that check Metal's address spaces, in order of preference.
const CLANG: [&str; 4] = ["clang++-19", "clang++-18", "clang++-16", "clang++"];

/// Compares every kernel on the CPU with f64, under all schedules.
fn kernels(root: &Path) -> anyhow::Result<()> {
    run(cargo(root, "kernels", "kernels").args(["test", "--locked"]))
}

/// Checks the address spaces of all pointers with clang.
fn spaces(root: &Path) -> anyhow::Result<()> {
    if clang().is_none() {
        run(Command::new("bash").arg(".ci/metal-setup").current_dir(root))?;
    }
    let clang = clang().with_context(|| {
        format!("cannot start any of {}; run `bash .ci/metal-setup`", CLANG.join(", "))
    })?;
    run(cargo(root, "kernels", "kernels").args(["run", "--locked", "--bin", "spaces", clang]))
}

/// Returns the first of [`CLANG`] that is installed.
fn clang() -> Option<&'static str> {
    let starts = |name: &&str| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|it| it.status.success())
    };
    CLANG.into_iter().find(starts)
}

/// Runs the kernels that share memory under the thread sanitizer, with threads of the operating
/// system.
fn races(root: &Path) -> anyhow::Result<()> {
    let suppressions = root.join("ci/gpu/metal/tsan.txt");
    // The sanitizer requires address space randomization to be off.
    let mut command = Command::new("setarch");
    let own = cargo(root, "kernels", "races");
    command.arg("-R").arg(own.get_program()).current_dir(folder(root, "kernels"));
    command.envs(own.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.env("TSAN_OPTIONS", format!("suppressions={}", suppressions.display()));
    command.args(["test", "--locked", "--features", "threads", "--test", "it", "--"]);
    command.args(["--test-threads=1", "attention::values", "conv2d::values"]);
    command.args(["group_norm::values", "pointwise::sums_of_rows"]);
    run(&mut command)
}

/// Copies the workspace's lock file to a package that depends on the workspace's crates; cargo adds
/// the package's other dependencies.
fn lock(root: &Path, package: &str) -> anyhow::Result<()> {
    let target = folder(root, package).join("Cargo.lock");
    std::fs::copy(root.join("Cargo.lock"), target).context("Cargo.lock")?;
    Ok(())
}

/// Runs clippy on the host code with the published crates.
fn types(root: &Path) -> anyhow::Result<()> {
    BINDINGS.make(root)?;
    lock(root, "check")?;
    let mut command = cargo(root, "check", "types");
    run(command
        .args(["clippy", "-p", "uni-instruct-kernels", "-p", "metal-check"])
        .args(["--", "-D", "warnings"]))
}

/// Tests the host code on the emulated device.
fn host(root: &Path) -> anyhow::Result<()> {
    BINDINGS.make(root)?;
    KERNELS.make(root)?;
    let libraries = root.join("target/metal/lib");
    std::fs::create_dir_all(&libraries).context("target/metal/lib")?;
    for name in RUNTIME {
        let path = libraries.join(format!("lib{name}.so"));
        let mut command = Command::new("cc");
        run(command.args(["-shared", "-x", "c", "/dev/null", "-o"]).arg(path))?;
    }
    let flags = format!("-L {} {}", libraries.display(), LAZY.join(" "));
    lock(root, "host")?;
    let mut command = cargo(root, "host", "host");
    command.env("RUSTFLAGS", flags).env("LD_LIBRARY_PATH", libraries);
    run(command.arg("test"))
}

/// A registry crate that is copied into `target/metal` with changes.
struct Copied {
    name: &'static str,
    /// Changes as file, old text and new text.
    edits: &'static [(&'static str, &'static str, &'static str)],
    /// A folder and the folder of this repository that replaces it.
    replaced: Option<(&'static str, &'static str)>,
}

/// Apple's bindings without the links to frameworks, which Linux rejects.
const BINDINGS: Copied = Copied {
    name: "objc2-metal",
    edits: &[(
        "src/generated/mod.rs",
        "#[link(name = \"Metal\", kind = \"framework\")]",
        "#[cfg_attr(target_vendor = \"apple\", link(name = \"Metal\", kind = \"framework\"))]",
    )],
    replaced: None,
};

/// candle's kernels, with the overlay as their module `metal` and without options for Metal's
/// compiler, which are objects of Apple's runtime.
const KERNELS: Copied = Copied {
    name: "candle-metal-kernels",
    edits: &[
        (
            "src/kernel.rs",
            "let compile_options = get_compile_options();",
            "let _ = get_compile_options;",
        ),
        (
            "src/kernel.rs",
            "new_library_with_source(source_content, Some(&compile_options))",
            "new_library_with_source(source_content, None)",
        ),
    ],
    replaced: Some(("src/metal", "ci/gpu/metal/overlay")),
};

impl Copied {
    fn make(&self, root: &Path) -> anyhow::Result<()> {
        let source = self.source(root)?;
        let target = root.join("target/metal").join(self.name);
        let mut made = 0;
        for path in files(&source, "")? {
            if self.replaced.is_some_and(|it| path.starts_with(&format!("{}/", it.0))) {
                continue;
            }
            let mut contents = std::fs::read(source.join(&path))?;
            for (_, from, to) in self.edits.iter().filter(|it| it.0 == path) {
                let text = String::from_utf8(contents)?;
                ensure!(
                    text.contains(from),
                    "{} {path}: the text to replace is missing: `{from}`",
                    self.name
                );
                contents = text.replace(from, to).into_bytes();
                made += 1;
            }
            write_changed(&target.join(path), &contents)?;
        }
        ensure!(made == self.edits.len(), "{}: a file to edit is missing", self.name);
        if let Some((folder, own)) = self.replaced {
            for path in files(&root.join(own), "")? {
                let contents = std::fs::read(root.join(own).join(&path))?;
                write_changed(&target.join(folder).join(path), &contents)?;
            }
        }
        Ok(())
    }

    /// Returns the folder into which cargo has unpacked the crate.
    fn source(&self, root: &Path) -> anyhow::Result<PathBuf> {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--features",
                "uni-instruct-kernels/metal",
            ])
            .current_dir(root)
            .output()
            .context("cannot start cargo metadata")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let manifest = packages
            .filter(|it| it["name"] == self.name)
            .find_map(|it| it["manifest_path"].as_str())
            .with_context(|| format!("`kernels` with `metal` does not depend on {}", self.name))?;
        Ok(Path::new(manifest).parent().context("a manifest without a folder")?.to_owned())
    }
}

/// Returns the files under `root` as relative paths.
fn files(root: &Path, folder: &str) -> anyhow::Result<Vec<String>> {
    let here = root.join(folder);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&here).with_context(|| here.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            all.extend(files(root, &path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

/// Writes a file unless it already has these contents, so that cargo does not recompile it.
fn write_changed(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    if std::fs::read(path).is_ok_and(|it| it == contents) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    std::fs::write(path, contents).with_context(|| path.display().to_string())
}

fn folder(root: &Path, package: &str) -> PathBuf {
    root.join("ci/gpu/metal").join(package)
}

/// Returns cargo for one of the packages, with a separate target folder.
fn cargo(root: &Path, package: &str, target: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder(root, package));
    command.env("CARGO_TARGET_DIR", root.join("target/metal/build").join(target));
    command
}
