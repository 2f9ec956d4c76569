//! Feature sets, reports and reference files: round trips and mismatches.

use candle_core::{Device, Tensor};

use super::{message, normal_rows};
use crate::*;

/// Extractor of images of four pixels: features are the first two, spatial features the last three,
/// logits the first three.
struct Pixels {
    hash: &'static str,
    dim: usize,
}

impl FeatureExtractor for Pixels {
    fn name(&self) -> &str {
        "pixels"
    }

    fn hash(&self) -> &str {
        self.hash
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        None
    }

    fn extract(&self, images: &Tensor) -> Result<Extracted> {
        let flat = images.flatten_from(1)?;
        let (features, spatial) = (flat.narrow(1, 0, 2)?, Some(flat.narrow(1, 1, 3)?));
        Ok(Extracted { features, spatial, logits: Some(flat.narrow(1, 0, 3)?) })
    }
}

const PIXELS: Pixels = Pixels { hash: "1", dim: 2 };

fn images(stream: u32, count: usize) -> Tensor {
    let values = normal_rows(stream, count, 4).values().to_vec();
    Tensor::from_vec(values, (count, 1, 2, 2), &Device::Cpu).unwrap()
}

fn collect(extractor: &Pixels, batches: Vec<Result<Tensor>>) -> Result<FeatureSet> {
    FeatureSet::collect(extractor, batches)
}

fn set(stream: u32, count: usize) -> FeatureSet {
    collect(&PIXELS, vec![Ok(images(stream, count))]).unwrap()
}

#[test]
fn features_do_not_depend_on_how_images_are_batched() {
    let all = images(0, 20);
    let cut = |start, length| Ok(all.narrow(0, start, length).unwrap());
    let got = collect(&PIXELS, vec![cut(0, 7), cut(7, 1), cut(8, 12)]).unwrap();
    assert_eq!(got, collect(&PIXELS, vec![Ok(all.clone())]).unwrap());
    assert_eq!((got.features.len(), got.features.dim()), (20, 2));
    assert_eq!(got.logits.map(|logits| (logits.len(), logits.dim())), Some((20, 3)));
    assert_eq!(got.spatial.map(|spatial| (spatial.len(), spatial.dim())), Some((20, 3)));
}

#[test]
fn rejects_empty_and_broken_sets() {
    assert!(message(collect(&PIXELS, vec![])).contains("features: 0 samples, at least 1"));
    let wrong = Pixels { dim: 3, ..PIXELS };
    let got = message(collect(&wrong, vec![Ok(images(0, 4))]));
    assert!(got.contains("features of an image: expected 3, found 2"), "{got}");
    let nan = (images(0, 4) * f64::NAN).unwrap();
    assert!(
        message(collect(&PIXELS, vec![Ok(images(0, 3)), Ok(nan)])).contains("row 3 is not finite")
    );
    let failed = Err(Error::TooFew { what: "disk", needed: 1, found: 0 });
    assert!(message(collect(&PIXELS, vec![failed])).contains("disk"));
}

fn gaussian(rows: &Matrix) -> Gaussian {
    Moments::of(rows).gaussian().unwrap()
}

fn images_of(set: &FeatureSet) -> Reference {
    Reference::new(Some(set.clone()), None).unwrap()
}

#[test]
fn a_report_has_each_metric_and_round_trips_json() {
    let (x, y, z) = (set(1, 60), set(2, 80), set(3, 50));
    let labels: Vec<u32> = (0..60).map(|i| i % 3).collect();
    let options = EvaluateOptions {
        labels: Some(&labels),
        neighbors: 3,
        kid_subsets: [4, 1000],
        training: Some(&z),
        bootstrap: Some(Bootstrap { replicates: 50, ..Bootstrap::default() }),
    };
    let report = evaluate(&x, &images_of(&y), &options).unwrap();
    let logits = x.logits.as_ref().unwrap();
    let neighbors = prdc(&x.features, &y.features, 3).unwrap();
    let spatial = [&x, &y].map(|set| gaussian(set.spatial.as_ref().unwrap()));
    let thinned = y.features.select(&(0..50).map(|i| i * 80 / 50).collect::<Vec<_>>());
    let expected = MetricReport {
        references: Some(80),
        neighbors: 3,
        spatial_fd: Some(frechet_distance(&spatial[0], &spatial[1]).unwrap()),
        kid: Some(kid(&x.features, &y.features).unwrap()),
        // Subsets have at most half of the smaller set.
        kid_subsets: Some(kid_subsets(&x.features, &y.features, 4, 30, 0).unwrap()),
        precision: Some(neighbors.precision),
        recall: Some(neighbors.recall),
        density: Some(neighbors.density),
        coverage: Some(neighbors.coverage),
        accuracy: Some(class_accuracy(logits, &labels).unwrap()),
        class_kl: Some(class_divergence(logits, y.logits.as_ref().unwrap()).unwrap()),
        inception_score: Some(inception_score(logits).unwrap()),
        memorization: Some(memorization(&x.features, &z.features, &thinned, 10).unwrap()),
        intervals: report.intervals.clone(),
        ..MetricReport::new(
            ExtractorId::of(&PIXELS),
            60,
            frechet_distance(&gaussian(&x.features), &gaussian(&y.features)).unwrap(),
        )
    };
    assert_eq!(report, expected);
    let intervals = report.intervals.as_ref().unwrap();
    let names: Vec<&str> = intervals.of.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "accuracy",
            "coverage",
            "density",
            "fd",
            "inception_score",
            "kid",
            "memorization",
            "precision",
            "recall",
            "spatial_fd"
        ]
    );
    let fd = intervals.of["fd"];
    assert!(fd.low < expected.fd && expected.fd < fd.high);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["intervals"]["replicates"], 50);
    let again: MetricReport = serde_json::from_value(json).unwrap();
    assert_eq!((again.images, again.accuracy), (60, expected.accuracy));
    assert!((again.fd - expected.fd).abs() <= f64::EPSILON * expected.fd);
}

#[test]
fn metrics_without_input_are_absent() {
    let (x, y) = (set(1, 60), set(2, 80));
    let report = evaluate(&x, &images_of(&y), &EvaluateOptions::default()).unwrap();
    assert!(report.accuracy.is_none() && report.intervals.is_none());
    assert!(report.memorization.is_none() && report.kid_subsets.is_none());
    let got = message(Reference::new(None, None));
    assert!(got.contains("references: 0 samples, at least 2 needed"), "{got}");
}

/// Statistics give the same distances as their images; the other metrics are absent.
#[test]
fn statistics_replace_images_for_frechet_distances() {
    let (x, y) = (set(1, 60), set(2, 80));
    let of_images = evaluate(&x, &images_of(&y), &EvaluateOptions::default()).unwrap();
    let (name, hash) = ("noise".to_owned(), "abc".to_owned());
    let dataset = DatasetId { name, hash, images: 80 };
    let statistics = Some(ReferenceStats::of(&y, dataset).unwrap());
    let reference = Reference::new(None, statistics).unwrap();
    let got = evaluate(&x, &reference, &EvaluateOptions::default()).unwrap();
    let inception_score = of_images.inception_score;
    let (references, spatial_fd) = (Some(80), of_images.spatial_fd);
    let bare = MetricReport::new(ExtractorId::of(&PIXELS), 60, of_images.fd);
    let expected = MetricReport { references, spatial_fd, inception_score, neighbors: 5, ..bare };
    assert_eq!(got, expected);
}

#[test]
fn rejects_metrics_of_different_extractors() {
    let other = Pixels { hash: "2", ..PIXELS };
    let other = collect(&other, vec![Ok(images(0, 30))]).unwrap();
    let got = message(evaluate(&set(0, 30), &images_of(&other), &EvaluateOptions::default()));
    assert!(got.contains("hash of the feature extractor differs: expected 2, found 1"), "{got}");
    let training = EvaluateOptions { training: Some(&other), ..EvaluateOptions::default() };
    let got = message(evaluate(&set(0, 30), &images_of(&set(1, 30)), &training));
    assert!(got.contains("hash of the feature extractor"), "{got}");
    let statistics = Some(stats());
    let reference = Reference::new(None, statistics).unwrap();
    let got = message(evaluate(&set(0, 30), &reference, &EvaluateOptions::default()));
    assert!(got.contains("feature dimension: expected 7, found 2"), "{got}");
    let got = message(Reference::new(Some(set(1, 30)), Some(stats())));
    assert!(got.contains("features of the reference statistics: expected 2, found 7"), "{got}");
}

fn stats() -> ReferenceStats {
    let [name, hash, resize] = ["pixels", "1", "none"].map(str::to_owned);
    let extractor = ExtractorId { name, hash, resize };
    let (name, hash) = ("noise".to_owned(), "abc".to_owned());
    let dataset = DatasetId { name, hash, images: 50 };
    ReferenceStats {
        gaussian: gaussian(&normal_rows(3, 50, 7)),
        spatial: Some(gaussian(&normal_rows(4, 50, 5))),
        origin: Some(Origin { dataset, extractor }),
    }
}

#[test]
fn reference_statistics_round_trip_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise.npz");
    stats().write(&path).unwrap();
    assert_eq!(ReferenceStats::read(&path).unwrap(), stats());
    // Other tools' files have no sidecar, and mostly no spatial statistics.
    let bare = ReferenceStats { spatial: None, origin: None, ..stats() };
    let got = message(bare.write(&path));
    assert!(got.contains("noise.npz.json: sidecar of another `.npz`"), "{got}");
    std::fs::remove_file(folder.path().join("noise.npz.json")).unwrap();
    bare.write(&path).unwrap();
    assert_eq!(ReferenceStats::read(&path).unwrap(), bare);
}

#[test]
fn rejects_statistics_of_another_origin() {
    let Origin { dataset, extractor } = stats().origin.unwrap();
    stats().check_dataset(&dataset).unwrap();
    stats().check_extractor(&extractor, 7).unwrap();
    let other = DatasetId { hash: "def".to_owned(), ..dataset.clone() };
    let got = message(stats().check_dataset(&other));
    assert!(got.contains("reference data set differs: expected noise (def), found noise (abc)"));
    let fewer = DatasetId { images: 49, ..dataset };
    let got = message(stats().check_dataset(&fewer));
    assert!(got.contains("number of reference images differs: expected 49, found 50"), "{got}");
    let reject = |other: ExtractorId, dim| message(stats().check_extractor(&other, dim));
    let other = ExtractorId { name: "inception".to_owned(), ..extractor.clone() };
    let got = reject(other, 7);
    assert!(got.contains("feature extractor differs: expected inception, found pixels"), "{got}");
    let other = ExtractorId { resize: "bicubic".to_owned(), ..extractor.clone() };
    let got = reject(other, 7);
    assert!(got.contains("resize of the feature extractor differs: expected bicubic"), "{got}");
    assert!(reject(extractor, 8).contains("expected 8, found 7"));
}

#[test]
fn rejects_files_without_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats.npz");
    let sidecar = folder.path().join("stats.npz.json");
    stats().write(&path).unwrap();
    let (whole, json) = (std::fs::read(&path).unwrap(), std::fs::read_to_string(&sidecar).unwrap());
    let reject = |bytes: &[u8], json: &str| {
        std::fs::write(&path, bytes).unwrap();
        std::fs::write(&sidecar, json).unwrap();
        message(ReferenceStats::read(&path))
    };
    for bytes in [&[][..], &[0; 64], &whole[..whole.len() / 2]] {
        let got = reject(bytes, &json);
        assert!(got.contains("stats.npz: "), "{got}");
    }
    let got = reject(&whole, &json.replace("reference-statistics", "network"));
    assert!(got.contains("stats.npz.json: its kind is `network-v1`"), "{got}");
    let got = reject(&whole, &json[..json.len() / 2]);
    assert!(got.contains("stats.npz.json: EOF"), "{got}");
    let other = ReferenceStats { spatial: None, ..stats() };
    std::fs::remove_file(&sidecar).unwrap();
    ReferenceStats { origin: None, ..other }.write(&path).unwrap();
    let got = reject(&std::fs::read(&path).unwrap(), &json);
    assert!(got.contains("it belongs to another `.npz`"), "{got}");
    std::fs::remove_file(&sidecar).unwrap();

    let array = |shape: &[usize]| npz::Array {
        shape: shape.to_vec(),
        values: npz::Values::F64(vec![0.0; shape.iter().product()]),
    };
    let reject = |arrays: &[(&str, &[usize])]| {
        let arrays = arrays.iter().map(|(name, shape)| ((*name).to_owned(), array(shape)));
        npz::write(&path, &arrays.collect()).unwrap();
        message(ReferenceStats::read(&path))
    };
    assert!(reject(&[("mu", &[1])]).contains("stats.npz: no array `sigma`"));
    assert!(reject(&[("sigma", &[1, 1])]).contains("stats.npz: no array `mu`"));
    assert!(reject(&[("mu", &[2, 1]), ("sigma", &[2, 2])]).contains("`mu` has shape [2, 1]"));
    assert!(
        reject(&[("mu", &[2]), ("sigma", &[3, 3])]).contains("covariance: expected 4, found 9")
    );
    let got = reject(&[("mu", &[1]), ("sigma", &[1, 1]), ("mu_s", &[1])]);
    assert!(got.contains("no array `sigma_s`"), "{got}");
}
