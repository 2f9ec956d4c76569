//! The Metal kernels and their host code, checked on a machine without Metal.
//!
//! The packages under `ci/gpu/metal` have workspaces of their own: two of them replace crates of the
//! registry by copies that are made here, in `target/metal`.

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

/// What asks the linker to leave alone what only Apple's runtime has, and is never called.
const LAZY: [&str; 3] = [
    "-Crelro-level=partial",
    "-Clink-arg=-Wl,-z,lazy",
    "-Clink-arg=-Wl,--unresolved-symbols=ignore-all",
];

/// Libraries of that runtime, of which empty ones are made.
const RUNTIME: [&str; 3] = ["objc", "gnustep-base", "dispatch"];

/// Compilers that read the kernels with Metal's address spaces, in order of preference.
const CLANG: [&str; 4] = ["clang++-19", "clang++-18", "clang++-16", "clang++"];

/// Every kernel on the CPU against f64, under all schedules.
fn kernels(root: &Path) -> anyhow::Result<()> {
    run(cargo(root, "kernels", "kernels").args(["test", "--locked"]))
}

/// Pointers into the right memory, as clang sees it.
fn spaces(root: &Path) -> anyhow::Result<()> {
    if clang().is_none() {
        run(Command::new("bash").arg(".ci/metal-setup").current_dir(root))?;
    }
    let clang = clang().with_context(|| format!("none of {} starts", CLANG.join(", ")))?;
    run(cargo(root, "kernels", "kernels").args(["run", "--locked", "--bin", "spaces", clang]))
}

/// The first of [`CLANG`] that is installed.
fn clang() -> Option<&'static str> {
    let starts = |name: &&str| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|it| it.status.success())
    };
    CLANG.into_iter().find(starts)
}

/// The kernels that share memory, with threads of the operating system, under the sanitizer.
fn races(root: &Path) -> anyhow::Result<()> {
    let suppressions = root.join("ci/gpu/metal/tsan.txt");
    // The sanitizer wants its addresses where they are without randomisation.
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

/// Gives a package that depends on the workspace's crates the versions of the workspace's lock file;
/// cargo adds what only the package has.
fn lock(root: &Path, package: &str) -> anyhow::Result<()> {
    let target = folder(root, package).join("Cargo.lock");
    std::fs::copy(root.join("Cargo.lock"), target).context("Cargo.lock")?;
    Ok(())
}

/// clippy on the host code, against the published crates.
fn types(root: &Path) -> anyhow::Result<()> {
    BINDINGS.make(root)?;
    lock(root, "check")?;
    let mut command = cargo(root, "check", "types");
    run(command
        .args(["clippy", "-p", "uni-instruct-kernels", "-p", "metal-check"])
        .args(["--", "-D", "warnings"]))
}

/// The host code on the emulated device.
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

/// A crate of the registry that is copied into `target/metal`, and what is different in the copy.
struct Copied {
    name: &'static str,
    /// Files, what is replaced in them, and by what.
    edits: &'static [(&'static str, &'static str, &'static str)],
    /// A folder, and the one of this repository that takes its place.
    replaced: Option<(&'static str, &'static str)>,
}

/// Apple's bindings, without the links to frameworks that Linux refuses.
const BINDINGS: Copied = Copied {
    name: "objc2-metal",
    edits: &[(
        "src/generated/mod.rs",
        "#[link(name = \"Metal\", kind = \"framework\")]",
        "#[cfg_attr(target_vendor = \"apple\", link(name = \"Metal\", kind = \"framework\"))]",
    )],
    replaced: None,
};

/// candle's kernels, with the overlay for its module `metal` and no options for Metal's compiler,
/// which are objects of Apple's runtime.
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
                ensure!(text.contains(from), "{} {path}: no `{from}` to replace", self.name);
                contents = text.replace(from, to).into_bytes();
                made += 1;
            }
            write_changed(&target.join(path), &contents)?;
        }
        ensure!(made == self.edits.len(), "{}: a file to change is missing", self.name);
        if let Some((folder, own)) = self.replaced {
            for path in files(&root.join(own), "")? {
                let contents = std::fs::read(root.join(own).join(&path))?;
                write_changed(&target.join(folder).join(path), &contents)?;
            }
        }
        Ok(())
    }

    /// Where cargo has unpacked the crate.
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
            .with_context(|| format!("`kernels` with `metal` does not need {}", self.name))?;
        Ok(Path::new(manifest).parent().context("a manifest without a folder")?.to_owned())
    }
}

/// The files under `root`, as paths from there.
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

/// Writes a file unless it has these contents, so that cargo does not compile it anew.
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

/// cargo in one of the packages, with a target folder of its own.
fn cargo(root: &Path, package: &str, target: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder(root, package));
    command.env("CARGO_TARGET_DIR", root.join("target/metal/build").join(target));
    command
}
