//! Running the program on tiny networks.

use std::{
    path::Path,
    process::{Command, Output},
};

/// A teacher of 8x8 images that is trained in a second.
pub const TEACHER: &str = r#"
data = "digits"
images = 32
batch = 8

[network]
img_resolution = 8
img_channels = 1
label_dim = 2

[network.architecture]
kind = "song"
model_channels = 8
channel_mult = [1, 2]
num_blocks = 1
attn_resolutions = []
dropout = 0.0
"#;

/// A distillation of this teacher.
pub const DISTILL: &str = r#"
teacher = "teacher.safetensors"
data = "digits"
batch = 4

[[phase]]
preset = "sid"
images = 32
"#;

/// A folder with a data set of two classes, a teacher's configuration and a distillation's.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (class, level) in [("dark", 20u8), ("light", 220)] {
        let images = folder.path().join("digits").join(class);
        std::fs::create_dir_all(&images).unwrap();
        for i in 0..6 {
            let pixels: Vec<u8> = (0..64).map(|at| level.wrapping_add(at % (i + 4))).collect();
            let image = data::png::Image { width: 8, height: 8, channels: 1, pixels };
            let bytes = data::png::encode(&image).unwrap();
            std::fs::write(images.join(format!("{i}.png")), bytes).unwrap();
        }
    }
    std::fs::write(folder.path().join("teacher.toml"), TEACHER).unwrap();
    std::fs::write(folder.path().join("distill.toml"), DISTILL).unwrap();
    folder
}

/// The same, with the teacher trained and exported.
pub fn folder_with_teacher() -> tempfile::TempDir {
    let folder = folder();
    check(&folder, "teacher train teacher.toml --out teacher", 0, &[]);
    let export = "teacher export teacher --out teacher.safetensors --licence CC0-1.0";
    check(&folder, export, 0, &["teacher.safetensors"]);
    folder
}

/// The program with these words as arguments, in a folder.
pub fn program(folder: impl AsRef<Path>, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uni-instruct"));
    command.current_dir(folder).args(words.split_whitespace());
    command
}

/// Runs it; asserts the exit code, and that all of `expected` is printed somewhere.
#[track_caller]
pub fn check(folder: impl AsRef<Path>, words: &str, code: i32, expected: &[&str]) -> Output {
    let output = program(folder, words).output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    let text = format!("{stdout}{stderr}");
    assert_eq!(output.status.code(), Some(code), "`{words}` printed:\n{text}");
    assert!(!text.contains("panicked"), "`{words}` printed:\n{text}");
    for part in expected {
        assert!(text.contains(part), "`{part}` is not in what `{words}` printed:\n{text}");
    }
    output
}
