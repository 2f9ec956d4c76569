//! Feature sets, reports and reference files: what belongs together, and what does not.

use candle_core::{Device, Tensor};

use super::{message, normal_rows};
use crate::*;

/// The first two pixels of an image as features; as logits, their values and one class more.
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
        Ok(Extracted { features: flat.narrow(1, 0, 2)?, logits: Some(flat.narrow(1, 0, 3)?) })
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
}

#[test]
fn sets_that_cannot_be_measured_are_refused_by_name() {
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

#[test]
fn a_report_holds_each_figure_and_survives_json() {
    let (x, y) = (set(1, 60), set(2, 80));
    let labels: Vec<u32> = (0..60).map(|i| i % 3).collect();
    let report = evaluate(&x, &y, Some(&labels), 3).unwrap();
    let logits = x.logits.as_ref().unwrap();
    let gaussian = |set: &FeatureSet| Moments::of(&set.features).gaussian().unwrap();
    let neighbors = prdc(&x.features, &y.features, 3).unwrap();
    let want = Report {
        extractor: ExtractorId { name: "pixels".to_owned(), hash: "1".to_owned() },
        images: 60,
        references: 80,
        neighbors: 3,
        fd: frechet_distance(&gaussian(&x), &gaussian(&y)).unwrap(),
        kid: kid(&x.features, &y.features).unwrap(),
        precision: neighbors.precision,
        recall: neighbors.recall,
        density: neighbors.density,
        coverage: neighbors.coverage,
        accuracy: Some(class_accuracy(logits, &labels).unwrap()),
        inception_score: Some(inception_score(logits).unwrap()),
    };
    assert_eq!(report, want);
    let json = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&json).unwrap();
    assert_eq!((again.images, again.accuracy), (60, want.accuracy));
    assert!((again.fd - want.fd).abs() <= f64::EPSILON * want.fd);
    assert_eq!(evaluate(&x, &y, None, 3).unwrap().accuracy, None);
    let range = intervals(&x, &y, Some(&labels), &Bootstrap::default()).unwrap();
    assert!(range.fd.low < want.fd && want.fd < range.fd.high);
    assert!(range.accuracy.is_some());
}

#[test]
fn figures_of_different_extractors_are_not_compared() {
    let other = Pixels { hash: "2", ..PIXELS };
    let other = collect(&other, vec![Ok(images(0, 30))]).unwrap();
    let got = message(evaluate(&set(0, 30), &other, None, 3));
    assert!(got.contains("hash of the feature extractor differs: expected 2, found 1"), "{got}");
    assert!(message(intervals(&set(0, 30), &other, None, &Bootstrap::default())).contains("hash"));
}

fn stats() -> ReferenceStats {
    ReferenceStats {
        gaussian: Moments::of(&normal_rows(3, 50, 7)).gaussian().unwrap(),
        images: 50,
        dataset: DatasetId { name: "noise".to_owned(), hash: "abc".to_owned() },
        extractor: ExtractorId { name: "pixels".to_owned(), hash: "1".to_owned() },
    }
}

#[test]
fn reference_statistics_come_back_from_their_file_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise.safetensors");
    stats().save(&path).unwrap();
    assert_eq!(ReferenceStats::load(&path).unwrap(), stats());
    let npz = folder.path().join("noise.npz");
    stats().gaussian.write_npz(&npz).unwrap();
    assert_eq!(Gaussian::read_npz(&npz).unwrap(), stats().gaussian);
}

#[test]
fn statistics_of_something_else_are_refused_by_name() {
    let ReferenceStats { dataset, extractor, .. } = stats();
    stats().check(&dataset, &extractor).unwrap();
    let other = DatasetId { hash: "def".to_owned(), ..dataset.clone() };
    let got = message(stats().check(&other, &extractor));
    assert!(got.contains("reference data set differs: expected noise (def), found noise (abc)"));
    let other = ExtractorId { name: "inception".to_owned(), ..extractor };
    let got = message(stats().check(&dataset, &other));
    assert!(got.contains("feature extractor differs: expected inception, found pixels"), "{got}");
}

#[test]
fn files_that_hold_no_statistics_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stats");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        [message(ReferenceStats::load(&path)), message(Gaussian::read_npz(&path))]
    };
    stats().save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for bytes in [&[][..], &[0; 64], &whole[..whole.len() / 2]] {
        for got in load(bytes) {
            assert!(got.contains("stats: "), "{got}");
        }
    }
    let network = FeatureNetFile {
        params: FeatureNet::init(0).unwrap(),
        accuracy: 0.1,
        provenance: models::Provenance::default(),
    };
    network.save(&path).unwrap();
    let got = message(ReferenceStats::load(&path));
    assert!(got.contains("`kind` is `feature-network`, expected `reference-statistics"), "{got}");
    let lone = npz::Array { shape: vec![1], values: npz::Values::F64(vec![0.0]) };
    npz::write(&path, &npz::Arrays::from([("mu".to_owned(), lone)])).unwrap();
    assert!(message(Gaussian::read_npz(&path)).contains("stats: no array `sigma`"));
}
