//! What does not work: an error that names the input and what to do, the documented exit code,
//! nothing overwritten.

use models::TensorFile;

use crate::program::{check, folder, folder_with_teacher};

#[test]
fn configurations_are_refused_with_exit_code_3() {
    let folder = folder_with_teacher();
    let table = [
        ("distill distill.toml --set bach=4", "unknown field `bach`"),
        ("distill distill.toml --method didi", "no method named `didi`"),
        ("distill distill.toml --set phase.0.divergence=klx", "klx"),
        ("distill distill.toml --set batch=0", "nonzero"),
        ("distill --preset mnist", "there is no such preset"),
        ("distill distill.toml --set augment=0.5", "augment = 0"),
        ("distill distill.toml --set phase.0.images=0", "at least one image"),
        ("distill distill.toml --data fashion-mnist", "the network takes"),
        ("sample teacher.safetensors --class 7", "2 classes"),
        ("eval teacher.safetensors --data digits", "takes images [1, 32, 32]"),
        ("teacher export nothing --out x.safetensors --licence MIT", "nothing"),
    ];
    for (words, expected) in table {
        let code = if words.contains("export nothing") { 4 } else { 3 };
        check(&folder, words, code, &["error: ", expected]);
    }
    assert!(!folder.path().join("runs").exists(), "nothing was written");
    assert!(!folder.path().join("x.safetensors").exists());
}

#[test]
fn words_that_are_not_understood_are_refused_with_exit_code_2() {
    let folder = folder();
    for words in ["distil", "list --jason", "eval x --require fid<5", "distill --divergence klx"] {
        check(&folder, words, 2, &[]);
    }
}

#[test]
fn files_are_refused_by_name_with_exit_code_4() {
    let folder = folder_with_teacher();
    let path = |name: &str| folder.path().join(name);
    let teacher = std::fs::read(path("teacher.safetensors")).unwrap();
    std::fs::write(path("cut.safetensors"), &teacher[..teacher.len() / 2]).unwrap();
    std::fs::write(path("foreign.safetensors"), b"PK\x03\x04 this is a zip").unwrap();
    std::fs::write(path("empty.safetensors"), b"").unwrap();
    let mut file = TensorFile::from_bytes("teacher", &teacher).unwrap();
    let key = file.tensors.keys().next().unwrap().clone();
    let nan = (file.tensors[&key].ones_like().unwrap() * f64::NAN).unwrap();
    file.tensors.insert(key.clone(), nan);
    file.save(path("nan.safetensors")).unwrap();
    for (name, expected) in [
        ("cut.safetensors", "not a complete safetensors file"),
        ("foreign.safetensors", "not a complete safetensors file"),
        ("empty.safetensors", "not a complete safetensors file"),
        ("nan.safetensors", key.as_str()),
        ("absent.safetensors", "cannot read"),
    ] {
        for verb in ["inspect", "sample", "eval"] {
            check(&folder, &format!("{verb} {name}"), 4, &[name, expected]);
        }
        check(&folder, &format!("distill distill.toml --teacher {name}"), 4, &[name, expected]);
    }
    std::fs::write(path("bad.zip"), b"PK\x03\x04 cut").unwrap();
    check(&folder, "dataset check bad.zip", 4, &["bad.zip"]);
    check(&folder, "dataset build digits --out digits", 4, &["digits"]);
}

#[test]
fn another_runs_folder_is_left_alone() {
    let folder = folder_with_teacher();
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &[]);
    let config = folder.path().join("run/config.resolved.toml");
    let before = std::fs::read(&config).unwrap();
    let other = "distill distill.toml --out run --seed 9";
    check(&folder, other, 4, &["written under configuration", "give another --out"]);
    assert_eq!(before, std::fs::read(&config).unwrap());
}

#[test]
fn a_damaged_checkpoint_is_refused_and_kept() {
    let folder = folder_with_teacher();
    let words = "distill distill.toml --out run --eval-images 0";
    check(&folder, words, 0, &[]);
    let checkpoint = folder.path().join("run/checkpoints/000000000032.safetensors");
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &bytes[..bytes.len() - 9]).unwrap();
    check(&folder, words, 4, &["000000000032.safetensors"]);
    assert_eq!(std::fs::read(&checkpoint).unwrap().len(), bytes.len() - 9);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = folder_with_teacher();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    check(&folder, "distill distill.toml --out file/run", 4, &["file/run"]);
    // Always full.
    if std::path::Path::new("/dev/full").exists() {
        std::os::unix::fs::symlink("/dev/full", folder.path().join("full.png")).unwrap();
        check(&folder, "sample teacher.safetensors --count 1 --out full.png", 4, &["full.png"]);
    }
}

/// A limit on the size of files fails writes as a full disk does, half way through a file.
#[test]
#[cfg(unix)]
fn a_full_disk_costs_no_earlier_checkpoint() {
    let folder = folder_with_teacher();
    let short = "distill distill.toml --out run --eval-images 0 --minutes 0";
    check(&folder, short, 0, &[]);
    let first = folder.path().join("run/checkpoints/000000000000.safetensors");
    let before = std::fs::read(&first).unwrap();
    let program = env!("CARGO_BIN_EXE_uni-instruct");
    let limited = format!(
        "ulimit -f 64; trap '' XFSZ; exec '{program}' distill distill.toml --out run --eval-images 0"
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &limited])
        .current_dir(&folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("error: ") && text.contains("run/checkpoints"), "{text}");
    assert_eq!(before, std::fs::read(&first).unwrap());
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &["32 images,"]);
}
