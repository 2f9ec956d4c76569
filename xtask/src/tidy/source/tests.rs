//! Texts and their expected faults.

use super::*;

/// Checks a Rust file (a module doc is added) and compares the faults.
#[track_caller]
fn check(path: &str, code: &str, expected: &[&str]) {
    let text = format!("//! Doc.\n{code}\n");
    let mut faults = Vec::new();
    check_text(path, &text, &mut faults);
    check_rust(path, &text, &mut faults);
    assert_eq!(faults.len(), expected.len(), "{faults:?}");
    for (fault, part) in faults.iter().zip(expected) {
        assert!(fault.starts_with(path) && fault.contains(part), "{fault} lacks {part}");
    }
}

const LIBRARY: &str = "crates/data/src/idx.rs";
const LOOP: &str = "crates/train/src/run.rs";
const OP: &str = "crates/kernels/src/conv2d/cpu.rs";

#[test]
fn accepts_tidy_file() {
    check(LIBRARY, "/// Images.\npub fn read() {}", &[]);
}

#[test]
fn rejects_long_files_and_files_without_doc() {
    check(LIBRARY, &"\n".repeat(398), &[]);
    check(LIBRARY, &"\n".repeat(399), &["401 lines"]);
    let mut faults = Vec::new();
    check_rust(LIBRARY, "\n//! Late.\n", &mut faults);
    assert_eq!(faults, ["crates/data/src/idx.rs: no module doc (`//!`) on line 1"]);
}

#[test]
fn rejects_vague_names() {
    check("crates/data/src/utils.rs", "", &["`utils.rs`"]);
    check("crates/data/src/common/idx.rs", "", &["`common`"]);
    check("crates/data/src/base64.rs", "", &[]);
}

#[test]
fn rejects_paths_of_one_machine() {
    for folder in MACHINE_FOLDERS {
        check(LIBRARY, &format!("// see /{folder}/x"), &["path of one machine"]);
        check(LIBRARY, &format!("const A: &str = \"/{folder}\";"), &[":2:"]);
        check(LIBRARY, &format!("// https://example.org/{folder}/x, a/{folder}, ./{folder}"), &[]);
        check(LIBRARY, &format!("// /{folder}shop"), &[]);
    }
    check(LIBRARY, concat!("// ..", "/shared/x"), &["out of the repository"]);
}

#[test]
fn checks_ends_of_lines() {
    check(LIBRARY, "fn a() {} ", &[":2: blanks"]);
    check(LIBRARY, "fn a() {}\r", &[":2: blanks"]);
    let mut faults = Vec::new();
    check_text("a.md", "text", &mut faults);
    check_text("a.json", "{}", &mut faults);
    assert_eq!(faults, ["a.md: the final line break is missing"]);
}

#[test]
fn rejects_unfinished_code_but_not_its_mention() {
    check(LIBRARY, "fn a() { todo!() }", &["`todo!`"]);
    check(LIBRARY, "fn a() { unimplemented!(\"x\") }", &["`unimplemented!`"]);
    check(LIBRARY, "fn a() { dbg!(1) }", &["`dbg!`"]);
    check(LIBRARY, "// no todo!() here\nconst A: &str = \"dbg!\";", &[]);
    check(LIBRARY, "#[ignore = \"slow\"]", &["`#[ignore]`"]);
    check(LIBRARY, "#[test] #[should_panic]", &["`#[should_panic]`"]);
    check(LIBRARY, "fn a(ignore: bool) {}", &[]);
}

#[test]
fn only_programs_print() {
    for name in PRINTING {
        let code = format!("fn a() {{ {name}!(\"x\") }}");
        check(LIBRARY, &code, &[&format!("`{name}!` outside a program")]);
        check("crates/cli/src/main.rs", &code, &[&format!("`{name}!` outside a program")]);
        check("xtask/src/main.rs", &code, &[]);
        check("crates/kernels/build.rs", &code, &[]);
    }
    check(LIBRARY, "/// ```\n/// println!(\"x\");\n/// ```", &[]);
}

#[test]
fn rejects_unsafe_outside_kernels() {
    check(LIBRARY, "fn a() { unsafe { b() } }", &["`unsafe` outside"]);
    check(OP, "fn a() { unsafe { b() } }", &[]);
    check(LIBRARY, "// unsafe\n#![forbid(unsafe_code)]", &[]);
    check("ci/gpu/shim/runtime.rs", "fn a() { unsafe { b() } }", &[]);
    check("ci/checks/runtime.rs", "fn a() { unsafe { b() } }", &["`unsafe` outside"]);
}

#[test]
fn rejects_features_outside_kernels() {
    let fault = ["condition on a feature"];
    check(LIBRARY, "#[cfg(feature = \"cuda\")]\nmod a;", &fault);
    check(LIBRARY, "#[cfg(all(unix,\n  not(feature = \"cuda\")))]", &[":2: a condition"]);
    check(LIBRARY, "#[cfg_attr(feature = \"x\", derive(Debug))]", &fault);
    check(LIBRARY, "fn a() -> bool { cfg!(feature = \"cuda\") }", &fault);
    check(OP, "#[cfg(feature = \"cuda\")]\nmod a;", &[]);
    check(LIBRARY, "#[cfg(test)]\nmod tests;\nlet feature = b(1);", &[]);
    let divergence = "crates/divergence/src/lib.rs";
    check(divergence, "#[cfg(feature = \"tensor\")]\nmod a;", &[]);
    check(divergence, "#[cfg(feature = \"cuda\")]\nmod a;", &fault);
    check(LIBRARY, "#[cfg(feature = \"tensor\")]\nmod a;", &fault);
}

#[test]
fn a_feature_is_named_only_in_the_files_of_its_row() {
    let fault = ["condition on a feature"];
    let archives = "#[cfg(not(feature = \"archives\"))]\nmod disabled;";
    check("crates/data/src/archive/mod.rs", archives, &[]);
    check("crates/data/src/archive/enabled.rs", archives, &fault);
    check("crates/data/src/lib.rs", archives, &fault);
    check("crates/data/src/lib.rs", "#[cfg(feature = \"fetch\")]\npub mod fetch;", &[]);
    check("crates/train/src/lib.rs", "#[cfg(feature = \"fetch\")]\npub mod fetch;", &fault);
}

#[test]
fn a_library_may_begin_with_its_readme() {
    let check = |path: &str, text: &str| {
        let mut faults = Vec::new();
        check_rust(path, text, &mut faults);
        faults.len()
    };
    let included = "#![doc = include_str!(\"../README.md\")]\n\nmod a;\n";
    assert_eq!(check("crates/data/src/lib.rs", included), 0);
    assert_eq!(check("crates/data/src/idx.rs", included), 1);
    assert_eq!(check("crates/data/src/lib.rs", "#![doc = \"Data.\"]\n"), 1);
}

#[test]
fn the_loop_names_no_single_method() {
    for code in ["fn sid_loss() {}", "struct SidLoss;", "let a = \"dmd2\";", "DMD", "useSida(1)"] {
        check(LOOP, code, &["the loop must not name a method"]);
        check("crates/divergence/src/method.rs", code, &[]);
        check("crates/train/src/step/tests.rs", code, &[]);
    }
    check(LOOP, "// as in SiD\nlet inside = beside(residual, consider);", &[]);
}
