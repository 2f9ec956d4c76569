//! Metrics: reference statistics and their provenance, protocols, logs, copies of training images.

use crate::embedded::few;
use crate::program::{check, folder};

fn json(output: &std::process::Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Statistics of images give the same distance as the images, and are refused for other images.
#[test]
fn statistics_are_written_shown_and_checked() {
    let folder = folder();
    few(folder.path());
    check(&folder, "ref-stats write few.npz --data few", 0, &["few.npz"]);
    let show = ["features          128", "10 of few", "resize            none"];
    check(&folder, "ref-stats show few.npz", 0, &show);
    let facts = json(&check(&folder, "ref-stats show few.npz --json", 0, &[]));
    assert_eq!(facts["of"]["dataset"]["images"], 10);

    let eval = "eval fashion-mnist --steps 1 --count 10 --bootstrap 0 --json";
    let of_images = json(&check(&folder, &format!("{eval} --data few"), 0, &[]));
    let of_both = format!("{eval} --data few --reference few.npz");
    assert_eq!(
        json(&check(&folder, &of_both, 0, &[]))["quoted"]["figures"],
        of_images["quoted"]["figures"]
    );
    let alone = json(&check(&folder, &format!("{eval} --reference few.npz"), 0, &[]));
    let (got, want) = (&alone["quoted"]["figures"], &of_images["quoted"]["figures"]);
    assert_eq!((&got["fd"], &got["accuracy"]), (&want["fd"], &want["accuracy"]));
    assert!(got.get("kid").is_none() && want["kid"].is_number(), "{got}");
    let gate = format!("{eval} --reference few.npz --require recall>0");
    check(&folder, &gate, 6, &["required recall>0, which has no value here"]);

    let other = format!("{eval} --data fashion-mnist#0..10 --reference few.npz");
    let differs = "reference data set differs: expected fashion-mnist#0..10";
    check(&folder, &other, 4, &[differs]);
    let more = format!("{eval} --data fashion-mnist#0..11 --reference few.npz");
    check(&folder, &more, 4, &["number of reference images differs: expected 11, found 10"]);
    let sidecar = folder.path().join("few.npz.json");
    let text = std::fs::read_to_string(&sidecar).unwrap();
    std::fs::write(&sidecar, text.replace("\"resize\": \"none\"", "\"resize\": \"bicubic\""))
        .unwrap();
    let refused = format!("{eval} --reference few.npz");
    check(&folder, &refused, 4, &["resize of the feature extractor differs"]);
    // A file of another program holds no provenance.
    std::fs::remove_file(&sidecar).unwrap();
    check(&folder, &refused, 0, &[]);
    check(
        &folder,
        "ref-stats show few.npz",
        0,
        &["unknown: there is no file few.npz.json next to it"],
    );
    std::fs::write(folder.path().join("few.npz"), b"PK").unwrap();
    check(&folder, &refused, 4, &["few.npz"]);
}

#[test]
fn images_are_padded_for_statistics_as_for_networks() {
    let folder = folder();
    let write = "ref-stats write half.npz --data fashion-mnist#0..20";
    check(&folder, write, 0, &[]);
    check(&folder, &format!("{write} --pad-to 30"), 3, &["requires images [1, 32, 32]"]);
    check(&folder, &format!("{write} --pad-to 31"), 3, &["--pad-to 31", "cannot be padded evenly"]);
    check(&folder, &format!("{write} --pad-to 32"), 0, &[]);
    let eval = "eval fashion-mnist-student --count 10 --data fashion-mnist#0..20";
    check(&folder, &format!("{eval} --reference half.npz"), 0, &["against 20"]);
    check(&folder, "eval x --data fashion-mnist#9..9", 4, &["x: cannot read"]);
    let eval = "eval fashion-mnist-student --data fashion-mnist";
    for range in ["9..9", "0..10001"] {
        let reason = format!("fashion-mnist#{range}: there are images 0..10000");
        check(&folder, &format!("{eval}#{range}"), 3, &[&reason]);
    }
}

/// Trials have different latents; the reported value follows the paper.
#[test]
fn protocols_repeat_and_report() {
    let folder = folder();
    few(folder.path());
    let eval = "eval fashion-mnist --steps 1 --count 10 --data few --bootstrap 0";
    let facts = json(&check(&folder, &format!("{eval} --protocol edm --json"), 0, &[]));
    let fd = |row: &serde_json::Value| row["report"]["fd"].as_f64().unwrap();
    let trials: Vec<f64> = facts["rows"].as_array().unwrap().iter().map(fd).collect();
    assert_eq!(trials.len(), 3);
    assert!(trials[0] != trials[1] && trials[1] != trials[2] && trials[0] != trials[2]);
    let least = trials.iter().fold(f64::INFINITY, |least, &fd| least.min(fd));
    assert_eq!(facts["quoted"]["figures"]["fd"], least);
    // The first trial equals a single evaluation.
    let single = json(&check(&folder, &format!("{eval} --json"), 0, &[]));
    assert_eq!(single["rows"][0]["report"]["fd"], trials[0]);
    let text = ["trial 10 |", "mean and standard deviation of 10 trials", "- fd: ", " ± "];
    check(&folder, &format!("{eval} --protocol sid"), 0, &text);
}

/// A line in the field's format, with the reported value.
#[test]
fn measurements_are_logged() {
    let folder = folder();
    few(folder.path());
    let eval = "eval fashion-mnist --steps 1 --count 10 --data few --log run --json";
    let fd = json(&check(&folder, eval, 0, &[]))["quoted"]["figures"]["fd"].clone();
    check(&folder, eval, 0, &[]);
    let log = std::fs::read_to_string(folder.path().join("run/metric-fd10_full.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["results"]["fd10_full"], fd);
    assert_eq!((&lines[0]["metric"], &lines[0]["num_gpus"]), (&"fd10_full".into(), &0.into()));
    assert_eq!(lines[0]["snapshot_pkl"], "fashion-mnist");
    assert!(0.0 < lines[0]["total_time"].as_f64().unwrap());
}

/// Copies of training images are detected; test images are not copies.
#[test]
fn copies_of_training_images_are_detected() {
    let folder = folder();
    let eval = "eval --images fashion-mnist#0..30 --data fashion-mnist#30..60";
    let copies = format!("{eval} --training fashion-mnist#0..30 --pairs pairs.png");
    let text =
        ["| memorization | 1.00000 |", "to one of 30 training images", "pairs.png: images nearest"];
    check(&folder, &copies, 0, &text);
    let picture = std::fs::read(folder.path().join("pairs.png")).unwrap();
    let picture = data::png::decode(&picture, 1 << 20, "pairs.png").unwrap();
    // Ten images above the ten images that they copy.
    assert_eq!((picture.width, picture.height), (320, 64));
    let (above, below) = picture.pixels.split_at(picture.pixels.len() / 2);
    assert!(above == below && above.iter().any(|&it| it != 0));

    let eval = "eval fashion-mnist-student --count 10 --data fashion-mnist#30..60";
    let fresh = format!("{eval} --training fashion-mnist#60..200 --pairs pairs.png");
    check(&folder, &fresh, 0, &["to one of 30 training images", "| memorization |"]);
    let alone = "eval fashion-mnist-student --reference x.npz --training fashion-mnist";
    check(&folder, alone, 3, &["--training", "give them as --data"]);
    check(&folder, "eval x --pairs p.png", 2, &["--training"]);
    check(&folder, "eval x --images --count 9", 2, &["--count"]);
    check(&folder, "eval x --bootstrap 1", 3, &["one resample has no spread"]);
}

/// Metrics come with confidence intervals.
#[test]
fn metrics_have_intervals() {
    let folder = folder();
    few(folder.path());
    let eval = "eval fashion-mnist --steps 1 --count 12 --data few";
    let text = ["| metric | value | 95 % interval |", "| inception_score |", "100 resamples"];
    check(&folder, eval, 0, &text);
    let facts = json(&check(&folder, &format!("{eval} --bootstrap 20 --json"), 0, &[]));
    let report = &facts["rows"][0]["report"];
    let (fd, interval) = (&report["fd"], &report["intervals"]["fd"]);
    let [fd, low, high] = [fd, &interval["low"], &interval["high"]].map(|it| it.as_f64().unwrap());
    assert!(low < fd && fd < high, "{low} {fd} {high}");
    assert_eq!(report["intervals"]["replicates"], 20);
    // A resample of so few images may hold only one of them.
    let output = check(&folder, "eval fashion-mnist --steps 1 --count 9 --data few", 0, &[]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("interval"));
}

/// A folder of `sample` gives the metrics of its network.
#[test]
fn evaluates_images_of_a_folder() {
    let folder = folder();
    check(&folder, "sample fashion-mnist-student --count 20 --out images", 0, &[]);
    let data = "--data fashion-mnist#0..50";
    let of_images = check(&folder, &format!("eval --images images {data} --json"), 0, &[]);
    let of_network =
        check(&folder, &format!("eval fashion-mnist-student --count 20 {data} --json"), 0, &[]);
    let (images, network) = (json(&of_images), json(&of_network));
    let fd = |facts: &serde_json::Value| facts["quoted"]["figures"]["fd"].as_f64().unwrap();
    assert!((fd(&images) - fd(&network)).abs() < 1e-5, "{} {}", fd(&images), fd(&network));

    // Images of two sizes differ by their size alone.
    std::fs::create_dir(folder.path().join("large")).unwrap();
    let image = data::png::Image { width: 40, height: 40, channels: 1, pixels: vec![7; 1600] };
    let image = data::png::encode(&image).unwrap();
    for i in 0..6 {
        std::fs::write(folder.path().join(format!("large/{i}.png")), &image).unwrap();
    }
    let refused = ["data `large`", "its images have 40 pixels per side, the evaluated images 32"];
    check(&folder, "eval --images images --data large", 3, &refused);
}
