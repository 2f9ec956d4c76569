//! Embedded files: the teacher, the student, the feature network, the published runs.

use std::path::Path;

use crate::program::{check, folder};

/// Ten images of 32x32, one per class.
pub fn few(folder: &Path) {
    for class in 0..10u8 {
        let images = folder.join("few").join(format!("class{class}"));
        std::fs::create_dir_all(&images).unwrap();
        let pixels = (0..32 * 32).map(|at| (at as u8).wrapping_mul(class + 1)).collect();
        let image = data::png::Image { width: 32, height: 32, channels: 1, pixels };
        std::fs::write(images.join("0.png"), data::png::encode(&image).unwrap()).unwrap();
    }
}

#[test]
fn the_embedded_run_ends_with_metrics() {
    let folder = folder();
    // The embedded set takes precedence over a folder of its name.
    std::fs::create_dir(folder.path().join("fashion-mnist")).unwrap();
    let words = "distill --out run --eval-images 40 --set batch=4 --set phase.0.images=8 \
                 --set phase.1.images=8";
    check(&folder, words, 0, &["| student | 1 |", "| teacher | 35 |", "against 10000"]);
    let run = folder.path().join("run");
    let rows = std::fs::read(run.join("results.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 6);
    assert!(rows.as_array().unwrap().iter().all(|row| 0.0 < row["report"]["fd"].as_f64().unwrap()));
    assert!(run.join("grid.png").exists() && run.join("results.md").exists());
    let log = std::fs::read_to_string(run.join("metric-fd40_full.jsonl")).unwrap();
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert_eq!(log["results"]["fd40_full"], rows[0]["report"]["fd"]);
}

#[test]
fn gates_pass_and_stop() {
    let folder = folder();
    few(folder.path());
    let eval = "eval fashion-mnist --data few --count 10 --steps 1";
    check(&folder, &format!("{eval} --require fd>0.001"), 0, &["| teacher | 1 |", "against 10"]);
    check(&folder, &format!("{eval} --require fd<0.001"), 6, &["required fd<0.001, measured"]);
    let verify = "teacher verify fashion-mnist --data few --count 10";
    check(&folder, &format!("{verify} --max-fd 0.001"), 6, &["FD is", "licence     MIT"]);
    let json = check(&folder, &format!("{verify} --max-fd 1e9 --json"), 6, &[]);
    let facts: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    // The teacher was not trained on noise: its errors are no better than trivial.
    assert_eq!(facts["go"], false);
    assert_eq!(facts["levels"].as_array().unwrap().len(), 8);
}

#[test]
fn the_embedded_student_samples_the_requested_classes() {
    let folder = folder();
    let eval = "eval fashion-mnist-student --count 200 --require accuracy>0.8 --require fd<2";
    check(&folder, eval, 0, &["| student | 1 |", "200 images each"]);
    check(&folder, "sample fashion-mnist-student --count 2", 0, &["samples.png"]);
    let words = "distill --teacher fashion-mnist-student --smoke";
    check(&folder, words, 3, &["fashion-mnist-student", "it is a generator"]);
}

#[test]
fn without_data_metrics_compare_with_the_teacher() {
    let folder = folder();
    few(folder.path());
    let words = "distill --smoke --set batch=4 --data teacher-samples --method sida";
    check(
        &folder,
        words,
        0,
        &["compare with the teacher's samples", "| student | 1 |", "against 6"],
    );
    check(&folder, &format!("{words} --eval-data few"), 0, &["against 10"]);
    let words = "distill --smoke --data teacher-samples --method sid";
    check(&folder, words, 0, &["no metrics at the end: there are neither"]);
    assert!(!folder.path().join("runs").exists(), "a smoke test keeps nothing");
}

#[test]
fn a_feature_network_is_trained_and_measured() {
    let folder = folder();
    few(folder.path());
    let config = "data = \"few\"\npad = 0\nimages = 16\nbatch = 8\n";
    std::fs::write(folder.path().join("features.toml"), config).unwrap();
    check(&folder, "features train features.toml --out run --dry-run", 0, &["images = 16"]);
    assert!(!folder.path().join("run").exists());
    check(&folder, "features train features.toml --out run", 0, &["16 images,"]);
    let words = "features export run --out net.safetensors --test few --licence MIT";
    check(&folder, words, 0, &["net.safetensors: accuracy"]);
    check(&folder, "inspect net.safetensors", 0, &["feature network", "accuracy    ", "MIT"]);
    let mut file = models::TensorFile::load(folder.path().join("net.safetensors")).unwrap();
    let weight = file.tensors.values_mut().next().unwrap();
    *weight = (&*weight + 1.0).unwrap();
    file.save(folder.path().join("changed.safetensors")).unwrap();
    check(&folder, "inspect changed.safetensors", 4, &["changed.safetensors", "`hash`"]);
    let json = check(&folder, "inspect fashion-mnist-features --json", 0, &[]);
    let facts: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&facts["kind"], &facts["config"]), (&"feature network".into(), &().into()));
    assert!(0.92 < facts["accuracy"].as_f64().unwrap(), "{facts}");
    let eval = "eval fashion-mnist --steps 1 --count 10 --data few --features net.safetensors";
    check(&folder, eval, 0, &["| teacher | 1 |"]);
    let embedded = eval.replace("net.safetensors", "embedded");
    check(&folder, &embedded, 0, &["features of fashion-mnist-128-v1"]);
}

#[test]
fn accuracy_is_absent_if_classes_differ() {
    let folder = folder();
    few(folder.path());
    for class in 2..10 {
        std::fs::remove_dir_all(folder.path().join("few").join(format!("class{class}"))).unwrap();
    }
    let words = "teacher train teacher.toml --set data=few --set images=8 \
                 --set network.img_resolution=32 --out teacher";
    check(&folder, words, 0, &[]);
    let export = "teacher export teacher --out teacher.safetensors --licence CC0-1.0";
    check(&folder, export, 0, &[]);
    // Enough images for every metric.
    for class in 0..2 {
        let images = folder.path().join("few").join(format!("class{class}"));
        for i in 1..4 {
            std::fs::copy(images.join("0.png"), images.join(format!("{i}.png"))).unwrap();
        }
    }
    let eval = "eval teacher.safetensors --steps 1 --count 10 --data few";
    let output = check(&folder, eval, 0, &["| teacher | 1 |"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let row = table.lines().find(|line| line.starts_with("| teacher")).unwrap();
    assert_eq!(row.split('|').nth(7).unwrap().trim(), "-", "{table}");
}

#[test]
fn terms_of_the_feature_network_and_several_steps_run_on_the_embedded_teacher() {
    let folder = folder();
    let small = "--set batch=4 --set phase.0.images=8 --eval-images 0";
    let frechet = "--set phase.0.method.frechet.weight=1 --set phase.0.method.frechet.queue=4";
    for (number, words) in [
        format!("--method di-star {small} {frechet}"),
        format!("--method sid-few-step {small} --set phase.0.method.steps=2"),
    ]
    .iter()
    .enumerate()
    {
        let words = format!("distill compare.toml {words} --out run{number}");
        std::fs::copy(compare_config(), folder.path().join("compare.toml")).unwrap();
        check(&folder, &words, 0, &[]);
    }
    let stats = std::fs::read_to_string(folder.path().join("run0/stats.jsonl")).unwrap();
    assert!(stats.contains("Loss/reward") && stats.contains("Loss/frechet"), "{stats}");
    let generator = "run1/generator.safetensors";
    for steps in [1, 2] {
        check(&folder, &format!("sample {generator} --steps {steps} --out {steps}.png"), 0, &[]);
    }
    let image = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_ne!(image("1.png"), image("2.png"));
    check(&folder, &format!("sample {generator} --out all.png"), 0, &[]);
    assert_eq!(image("all.png"), image("2.png"));
    let words = format!("sample {generator} --steps 3");
    check(&folder, &words, 3, &["--steps", "generator of 2 steps"]);
    // A generator is trained further, if it fits.
    let words = "distill compare.toml --method sid-few-step --set batch=4 --eval-images 0 --out run2 \
                 --set phase.0.method.steps=2 --set phase.0.images=8 --set student=run1/generator.safetensors";
    check(&folder, words, 0, &[]);
    assert!(image("run1/generator.safetensors") != image("run2/generator.safetensors"));
    for (key, code, expected) in [
        ("student=fashion-mnist", 3, "fashion-mnist: it is a teacher"),
        ("student=run1/generator.safetensors", 3, "steps = 2, and the method has 2.5 and 1"),
        ("feature_network=fashion-mnist", 4, "feature_network `fashion-mnist`"),
        ("feature_network=absent.safetensors", 4, "feature_network `absent.safetensors`"),
        ("phase.0.method.steps=0", 3, "nonzero"),
    ] {
        let words = format!("distill compare.toml --method di-star --dry-run --set {key}");
        check(&folder, &words, code, &[expected]);
    }
}

/// Path of the configuration that compares methods.
fn compare_config() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/compare-fashion-mnist.toml")
}

#[test]
fn every_published_run_resolves() {
    let folder = folder();
    for name in ["fashion-mnist", "fashion-mnist-full"] {
        let words = format!("distill --preset {name} --dry-run");
        check(&folder, &words, 0, &["generator      744401", "sigma_init = 2.5"]);
    }
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let compare = configs.join("compare-fashion-mnist.toml");
    for row in divergence::presets() {
        let words = format!("distill {} --method {} --dry-run", compare.display(), row.name);
        check(&folder, &words, 0, &["images = 9600"]);
    }
    let read = |name: &str| std::fs::read_to_string(configs.join(name)).unwrap();
    let name = "teacher-fashion-mnist.toml";
    let teacher = train::teacher::TeacherConfig::parse(name, &read(name), &[]).unwrap();
    assert_eq!(teacher.network.label_dim, 10);
    let name = "features-fashion-mnist.toml";
    train::classifier::ClassifierConfig::parse(name, &read(name), &[]).unwrap();
}
