//! Failures: an error that names the input and what to do, the documented exit code, nothing
//! overwritten.

use models::TensorFile;

use crate::program::{check, folder, folder_with_teacher, program};

#[test]
fn rejects_configurations_with_exit_code_3() {
    let folder = folder_with_teacher();
    std::fs::write(folder.path().join("features.toml"), "data = \"digits\"\n").unwrap();
    let table = [
        ("distill distill.toml --set bach=4", "unknown field `bach`"),
        ("distill distill.toml --method didi", "no method named `didi`"),
        ("distill distill.toml --set phase.0.divergence=klx", "klx"),
        ("distill distill.toml --set batch=0", "nonzero"),
        ("distill --preset mnist", "there is no such preset"),
        ("distill distill.toml --set augment=0.5", "augment = 0"),
        ("distill distill.toml --set phase.0.images=0", "at least one image"),
        ("distill distill.toml --data fashion-mnist", "the network requires"),
        ("sample teacher.safetensors --class 7", "2 classes"),
        ("sample teacher.safetensors --device tpu", "unknown device `tpu`"),
        ("distill distill.toml --device cuda", "no CUDA support"),
        ("distill distill.toml --eval-images 3", "at least 6"),
        ("distill distill.toml --set batch=99999999", "at most"),
        ("distill distill.toml --method sds --set phase.0.method.adversarial={}", "empty table"),
        ("teacher train teacher.toml --set sigma_law={log-normal={mean=0.0,std=-1.0}}", "std"),
        ("teacher train teacher.toml --set augment=0.5", "augment_dim"),
        ("teacher train teacher.toml --set optimizer.weight_decay=-1.0", "at least zero"),
        ("features train features.toml", "takes images"),
        ("features train features.toml --set batch=99999999", "at most"),
        ("distill distill.toml --divergence js --set phase.0.divergence=pearson", "given twice"),
        ("eval teacher.safetensors --count 3", "--count: 3 are too few"),
        ("eval teacher.safetensors --count 99999999999", "use at most 16777216"),
        ("sample teacher.safetensors --count 99999999999", "give at most 16777216"),
        ("distill distill.toml --eval-images 99999999999", "use at most 16777216"),
        (
            "distill distill.toml --set phase.0.method.ratio.estimator=paths",
            "unknown variant `paths`",
        ),
        (
            "distill distill.toml --divergence js --set \
             phase.0.method.ratio={estimator=\"path\",path={strata=0}}",
            "ratio.path.strata: 0 must be from 1 to 1000",
        ),
        (
            "distill distill.toml --method sds --set phase.0.method.ratio.estimator=path",
            "ratio.estimator: a path integral needs the student's denoiser",
        ),
        (
            "distill distill.toml --method uni-instruct-integral --set \
             phase.0.method.weighting={cumulative={table=[[0.1,1.0],[1.0,0.5]]}}",
            "weighting.cumulative: a cumulative weight must not decrease",
        ),
        ("distill distill.toml --set fake_ema={half_life=-1.0}", "fake_ema"),
        ("distill distill.toml --dry-run --eval-images 3", "at least 6"),
        ("distill distill.toml --dry-run --eval-data fashion-mnist", "the network requires"),
        ("distill distill.toml --set seed=x", "distill.toml --set seed=x: not a configuration"),
        ("eval teacher.safetensors --data fashion-mnist#test", "has no part `test`"),
        ("eval teacher.safetensors --data digits", "requires images [1, 32, 32]"),
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
fn rejects_invalid_command_lines_with_exit_code_2() {
    let folder = folder();
    for words in [
        "distil",
        "list --jason",
        "eval x --require fidd<5",
        "distill --divergence klx",
        "distill --minutes nan",
        "teacher train x --minutes=-1",
        "teacher verify x --max-fd nan",
    ] {
        check(&folder, words, 2, &[]);
    }
    check(&folder, "sample x --count -1", 2, &["invalid value '-1' for '--count"]);
}

#[cfg(target_os = "linux")]
#[test]
fn rejects_invalid_kernel_limit_with_exit_code_2() {
    let folder = folder();
    for (name, code) in [("avx1", 2), ("portable", 0)] {
        let mut program = program(&folder, "list");
        let output = program.env("UNI_INSTRUCT_KERNELS", name).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name}: {text}");
        assert_eq!(
            text.contains("UNI_INSTRUCT_KERNELS: unknown kernels `avx1`"),
            code == 2,
            "{text}"
        );
    }
}

#[test]
fn rejects_unwritable_standard_output_with_exit_code_4() {
    let folder = folder();
    for words in [
        "list",
        "list --json",
        "inspect fashion-mnist",
        "completions bash",
        "distill --dry-run",
        "dataset check digits",
        "teacher train teacher.toml --dry-run",
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = program(&folder, words).stdout(full).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "`{words}` printed:\n{text}");
        assert!(text.contains("error: standard output: cannot write"), "`{words}`:\n{text}");
    }
}

#[test]
fn rejects_class_of_unconditional_network() {
    let folder = folder();
    let words = "teacher train teacher.toml --out free --set network.label_dim=0 --set images=0";
    check(&folder, words, 0, &[]);
    check(&folder, "teacher export free --out free.safetensors --licence MIT", 0, &[]);
    let expected = ["the network is unconditional; leave out --class"];
    check(&folder, "sample free.safetensors --class 0", 3, &expected);
    check(&folder, "sample free.safetensors --count 1 --steps 1", 0, &["samples.png"]);
}

#[test]
fn non_finite_values_end_the_run_with_exit_code_5() {
    let folder = folder_with_teacher();
    let words = "distill distill.toml --out run --eval-images 0 --set max_skipped=0 \
                 --set generator.learning_rate=1e38 --set log.checkpoint=4";
    check(&folder, words, 5, &["was not finite 1 updates in a row"]);
    let kept = std::fs::read_dir(folder.path().join("run/checkpoints")).map_or(vec![], |entries| {
        entries.map(|entry| models::TensorFile::load(entry.unwrap().path()).unwrap()).collect()
    });
    for file in kept {
        for tensor in file.tensors.values() {
            assert!(models::params::is_finite(tensor).unwrap());
        }
    }
}

#[test]
fn rejects_generator_as_teacher() {
    let folder = folder_with_teacher();
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &[]);
    for words in [
        "distill distill.toml --out again --teacher run/generator.safetensors",
        "teacher verify run/generator.safetensors",
        "teacher train teacher.toml --out again --set init=run/generator.safetensors",
        "sample run/generator.safetensors --steps 3",
    ] {
        check(&folder, words, 3, &["generator"]);
    }
    assert!(!folder.path().join("again").exists());
}

#[test]
fn rejects_files_by_name_with_exit_code_4() {
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
    check(&folder, "eval fashion-mnist --features cut.safetensors", 4, &["cut.safetensors"]);
    std::fs::write(path("bad.zip"), b"PK\x03\x04 cut").unwrap();
    check(&folder, "dataset check bad.zip", 4, &["bad.zip"]);
    check(&folder, "dataset build digits --out digits", 4, &["digits"]);
}

#[test]
fn leaves_the_folder_of_another_run_unchanged() {
    let folder = folder_with_teacher();
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &[]);
    let config = folder.path().join("run/config.resolved.toml");
    let before = std::fs::read(&config).unwrap();
    let other = "distill distill.toml --out run --seed 9";
    check(&folder, other, 4, &["run: holds a run whose `config`", "give another --out"]);
    let train = "teacher train teacher.toml --out run";
    check(&folder, train, 4, &["holds a run whose `kind` is distillation", "is teacher"]);
    assert_eq!(before, std::fs::read(&config).unwrap());
    // The same configuration, another teacher under the old name.
    let again = "teacher train teacher.toml --out other --set seed=5";
    check(&folder, again, 0, &[]);
    check(&folder, "teacher export other --out teacher.safetensors --licence MIT", 0, &[]);
    check(&folder, "distill distill.toml --out run", 4, &["`teacher_blake3`"]);
    assert_eq!(before, std::fs::read(&config).unwrap());
}

#[test]
fn rejects_and_keeps_damaged_checkpoint() {
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
fn names_a_folder_that_cannot_be_written() {
    let folder = folder_with_teacher();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    check(&folder, "distill distill.toml --out file/run", 4, &["file/run"]);
}

/// A limit on the size of files fails writes as a full disk does, half way through a file.
#[test]
#[cfg(unix)]
fn a_full_disk_leaves_earlier_checkpoints_intact() {
    let folder = folder_with_teacher();
    let short = "distill distill.toml --out run --eval-images 0 --minutes 0";
    check(&folder, short, 0, &[]);
    let first = folder.path().join("run/checkpoints/000000000000.safetensors");
    let before = std::fs::read(&first).unwrap();
    let limited = |blocks: u32, words: &str| {
        let program = env!("CARGO_BIN_EXE_uni-instruct");
        let line = format!("ulimit -f {blocks}; trap '' XFSZ; exec '{program}' {words}");
        let command =
            std::process::Command::new("sh").args(["-c", &line]).current_dir(&folder).output();
        command.unwrap()
    };
    let output = limited(64, "distill distill.toml --out run --eval-images 0");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("error: ") && text.contains("run/checkpoints"), "{text}");
    assert_eq!(before, std::fs::read(&first).unwrap());
    // The configuration does not fit either; an unchanged one is not written.
    let output = limited(1, "distill distill.toml --out run --eval-images 0 --set log.tick=9");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("config.resolved.toml"), "{text}");
    let output = limited(1, "distill distill.toml --out run --eval-images 0");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!text.contains("config.resolved.toml") && text.contains("error: run/"), "{text}");
    check(&folder, "distill distill.toml --out run --eval-images 0", 0, &["32 images,"]);

    let sample = "sample teacher.safetensors --steps 1 --count 50 --out grid.png";
    check(&folder, sample, 0, &[]);
    let before = std::fs::read(folder.path().join("grid.png")).unwrap();
    let output = limited(1, &format!("{sample} --seed 3"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4) && text.contains("grid.png"), "{text}");
    assert_eq!(before, std::fs::read(folder.path().join("grid.png")).unwrap());
}
