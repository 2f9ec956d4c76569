//! Runs each target on the files of its corpus.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Lists the files of a folder by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

#[track_caller]
fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|it| it.0 == name).unwrap();
    let files = files(&folder(name));
    assert!(!files.is_empty(), "no corpus of {name}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        assert!(catch_unwind(|| target(&bytes)).is_ok(), "{}", file.display());
    }
}

#[test]
fn pickles() {
    replay("pickle");
}

#[test]
fn archives() {
    replay("archive");
}

#[test]
fn safetensors() {
    replay("safetensors");
}

#[test]
fn arrays() {
    replay("npz");
}

#[test]
fn png_files() {
    replay("png");
}

#[test]
fn idx_files() {
    replay("idx");
}

#[test]
fn datasets() {
    replay("dataset");
}

/// Every target is both fuzzed and replayed.
#[test]
fn each_target_has_a_program_and_a_corpus() {
    let stems = |folder: &Path| -> Vec<String> {
        let stem = |it: &PathBuf| it.file_stem().unwrap().to_str().unwrap().to_owned();
        files(folder).iter().map(stem).collect()
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = TARGETS.iter().map(|it| it.0).collect();
    names.sort();
    assert_eq!(stems(&root.join("corpus")), names);
    assert_eq!(stems(&root.join("fuzz_targets")), names);
}
