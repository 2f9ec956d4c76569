//! Text files of the working tree.
//!
//! The walk does not need git, so it also works in an unpacked archive or in a checkout that
//! another user owns. It skips the names that the root's `.gitignore` excludes.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

/// Extensions of text files; other files are data.
const TEXT: [&str; 15] = [
    "rs", "toml", "md", "json", "jsonl", "sh", "py", "yml", "yaml", "cu", "cuh", "metal", "txt",
    "svg", "cff",
];

/// Folders with text files that have no extension.
const TEXT_FOLDERS: [&str; 1] = [".ci"];

/// Names with a leading dot that belong to the project.
const DOTTED: [&str; 6] =
    [".ci", ".cargo", ".editorconfig", ".gitattributes", ".github", ".gitignore"];

/// A text file: its path from the root, with `/` as separator, and its contents.
pub struct File {
    pub path: String,
    pub text: String,
}

/// Contents of the tree.
pub struct Tree {
    /// The text files, in the order of their paths.
    pub files: Vec<File>,
    /// Paths of all files and folders.
    pub paths: BTreeSet<String>,
}

impl Tree {
    /// Returns the contents of a text file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|it| it.path == path).map(|it| it.text.as_str())
    }
}

/// Reads the tree under `root`.
///
/// # Errors
///
/// If a folder or a file cannot be read, or a text file is not UTF-8.
pub fn read(root: &Path) -> anyhow::Result<Tree> {
    let ignore = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let mut tree = Tree { files: Vec::new(), paths: BTreeSet::new() };
    walk(root, "", &ignored_names(&ignore), &mut tree)?;
    tree.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tree)
}

/// Returns the names at the root that a `.gitignore` excludes, that is, its lines of the form
/// `/name`.
fn ignored_names(text: &str) -> Vec<&str> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix('/'));
    names.map(|name| name.trim_end_matches('/')).filter(|it| !it.is_empty()).collect()
}

fn walk(root: &Path, folder: &str, ignored: &[&str], tree: &mut Tree) -> anyhow::Result<()> {
    let here = root.join(folder);
    let entries = std::fs::read_dir(&here).with_context(|| format!("{}", here.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("{}", here.display()))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
        let hidden = name.starts_with('.') && !DOTTED.contains(&&*name);
        if hidden || (folder.is_empty() && ignored.contains(&&*name)) {
            continue;
        }
        tree.paths.insert(path.clone());
        let kind = entry.file_type().with_context(|| path.clone())?;
        if kind.is_dir() {
            walk(root, &path, ignored, tree)?;
        } else if kind.is_file() && is_text(&path) {
            let text = std::fs::read_to_string(entry.path()).with_context(|| path.clone())?;
            tree.files.push(File { path, text });
        }
    }
    Ok(())
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => TEXT.contains(&extension),
        _ => TEXT_FOLDERS.iter().any(|it| path.starts_with(&format!("{it}/"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_text_by_extension_or_folder() {
        for path in
            ["a.rs", "crates/x/Cargo.toml", "docs/a.md", ".ci/run", "k/add.cu", "CITATION.cff"]
        {
            assert!(is_text(path), "{path}");
        }
        for path in ["a.png", "t10k.gz", "LICENSE-MIT", "assets/teacher.safetensors", ".gitignore"]
        {
            assert!(!is_text(path), "{path}");
        }
    }

    #[test]
    fn ignores_only_names_anchored_at_the_root() {
        assert_eq!(ignored_names("/target\n/runs/\n*.profraw\n\n/\n"), ["target", "runs"]);
    }
}
