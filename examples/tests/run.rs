//! Runs each example and checks its output.

use std::path::Path;
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

#[test]
fn divergence_weighs_by_the_ratio() {
    let program = env!("CARGO_BIN_EXE_divergence");
    // h(l) = e^l: the weights of the logits -1, 0 and 1 are proportional to 1/e, 1 and e.
    let weights = numbers(&output(program, &["forward-kl"]), "weights");
    let [.., low, middle, high] = weights[..] else { panic!("{weights:?}") };
    let e = std::f64::consts::E;
    assert!((middle / low - e).abs() < 1e-2 && (high / middle - e).abs() < 1e-2, "{weights:?}");
    // h = 1 for reverse KL: the gradient of the mean is (D_q - D_p)/3, here x0/3.
    let gradient = numbers(&output(program, &["reverse-kl"]), "gradient");
    let [.., a, b, c] = gradient[..] else { panic!("{gradient:?}") };
    for (found, x0) in [(a, 0.5), (b, 1.0), (c, 2.0)] {
        assert!((found - x0 / 3.0).abs() < 1e-3, "{gradient:?}");
    }
}

#[test]
fn convert_keeps_names_and_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_convert"));
    let result = command.env("TMPDIR", folder.path()).output().expect("the example starts");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
    let path = folder.path().join("demonstration.safetensors");
    let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).expect("a file");
    assert_eq!(tensors["layer.bias"].to_vec1::<f32>().expect("a vector"), [0.5, -0.5]);
    assert_eq!(tensors["layer.weight"].dims(), [2, 2]);
}

#[test]
fn sample_writes_a_picture() {
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("samples.png");
    let student = "../assets/fashion-mnist-student/network.safetensors";
    let text = output(env!("CARGO_BIN_EXE_sample"), &[student, picture.to_str().unwrap()]);
    assert!(text.contains("30 images in 1 evaluation each"), "{text}");
    let bytes = std::fs::read(&picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"));
}

/// A set has distance 0 from itself, and another distance from another set.
#[test]
fn fid_measures_two_folders() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fid");
    for (name, step) in [("a", 37), ("b", 53)] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for i in 0..12 {
            let pixels = (0..32 * 32).map(|at| ((at + i) * step % 251) as u8).collect();
            let image = data::png::Image { width: 32, height: 32, channels: 1, pixels };
            let bytes = data::png::encode(&image).unwrap();
            std::fs::write(folder.join(name).join(format!("{i}.png")), bytes).unwrap();
        }
    }
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let fd =
        |other| numbers(&output(env!("CARGO_BIN_EXE_fid"), &[&path("a"), &path(other)]), "FD")[0];
    assert!(fd("a").abs() < 1e-3 && 0.1 < fd("b"));
}
