//! Runs each example and checks its output.

use std::process::Command;

/// Standard output of a program.
#[track_caller]
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("the example starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

/// Numbers of the line that begins with `label`.
#[track_caller]
fn numbers(text: &str, label: &str) -> Vec<f64> {
    let line = text.lines().find(|line| line.starts_with(label)).expect(label);
    let words = line.split(|letter: char| !(letter.is_ascii_digit() || "-.".contains(letter)));
    words.filter_map(|word| word.parse().ok()).collect()
}

/// Checks that student and teacher agree.
#[track_caller]
fn check_close(text: &str, tolerance: f64) {
    let (student, teacher) = (numbers(text, "student:"), numbers(text, "teacher:"));
    assert_eq!(student.len(), teacher.len(), "{text}");
    assert!(student.iter().zip(&teacher).all(|(a, b)| (a - b).abs() < tolerance), "{text}");
}

#[test]
fn mixture_matches_moments_under_forward_kl_alone() {
    let program = env!("CARGO_BIN_EXE_mixture");
    check_close(&output(program, &["forward-kl", "400"]), 0.03);
    let reverse = output(program, &["reverse-kl", "400"]);
    let (student, teacher) = (numbers(&reverse, "student:"), numbers(&reverse, "teacher:"));
    assert!((2..4).all(|i| student[i] < teacher[i] - 0.05), "{reverse}");
}

#[test]
fn custom_loop_matches_moments() {
    check_close(&output(env!("CARGO_BIN_EXE_custom_loop"), &["forward-kl", "800"]), 0.03);
}
