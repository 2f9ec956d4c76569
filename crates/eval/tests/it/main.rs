//! Evaluations of small sets through the public interface: plans, trials, caches, pictures.

use std::borrow::Cow;

use candle_core::{Device, Tensor};
use data::{Dataset, Labels};
use metrics::{Extracted, FeatureExtractor};
use models::{
    Conditioning, Denoiser,
    generator::StepSchedule,
    sampling::{SampleSpec, Sampler},
};
use uni_instruct_eval::{Error, EvalProtocol, Event, Images, Plan, Quoted, Request, Subject};

/// A feature network without weights: features are pixels, class logits the first two pixels.
struct Pixels {
    side: Option<usize>,
}

impl FeatureExtractor for Pixels {
    fn name(&self) -> &str {
        "pixels"
    }

    fn hash(&self) -> &str {
        "none"
    }

    fn dim(&self) -> usize {
        16
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        self.side.map(|side| [1, side, side])
    }

    fn extract(&self, images: &Tensor) -> metrics::Result<Extracted> {
        let features = images.flatten_from(1)?;
        let logits = features.narrow(1, 0, 2)?;
        Ok(Extracted { features, spatial: None, logits: Some(logits) })
    }
}

/// A denoiser that returns its input, scaled to unit variance at every noise level.
struct Scaled;

impl Denoiser for Scaled {
    fn denoise(&self, x: &Tensor, sigma: &Tensor, _: &Conditioning) -> candle_core::Result<Tensor> {
        x.broadcast_div(&(sigma.reshape(((), 1, 1, 1))? * 4.0)?)
    }

    fn sigma_range(&self) -> [f64; 2] {
        [0.0, f64::INFINITY]
    }

    fn round_sigma(&self, sigma: f64) -> f64 {
        sigma
    }
}

/// `count` images of `side` pixels, different for each `seed`.
fn images(count: usize, side: usize, seed: usize) -> Dataset {
    let pixel = |at: usize| ((at + 7 * seed) * (2 * seed + 37) % 251) as u8;
    let pixels = (0..count * side * side).map(pixel).collect();
    let of_image = (0..count as u32).map(|i| i % 2).collect();
    Dataset::new("test", [1, side, side], pixels, Labels::Classes { classes: 2, of_image }).unwrap()
}

fn named(dataset: &Dataset) -> Option<Images<'_>> {
    Some(Images { name: "real", dataset: Cow::Borrowed(dataset) })
}

fn samplers(spec: SampleSpec) -> Subject<'static> {
    let sampler = Sampler::generator(&Scaled, StepSchedule::one_step(2.0));
    Subject::Samplers { samplers: vec![("student".to_owned(), sampler)], spec }
}

fn spec(count: usize) -> SampleSpec {
    SampleSpec { batch: 7, ..SampleSpec::new([1, 4, 4], 2, count, &Device::Cpu) }
}

/// Every trial samples other latents, and the first trial equals a single evaluation.
#[test]
fn trials_sample_different_latents() {
    let real = images(30, 4, 1);
    let extractor = Pixels { side: None };
    let rows = |protocol| {
        let request = Request {
            real: named(&real),
            replicates: Some(0),
            protocol,
            ..Request::new(samplers(spec(20)), &extractor, &Device::Cpu)
        };
        let mut last = None;
        let rows = Plan::resolve(request)
            .unwrap()
            .run(&mut |event| {
                if let Event::Progress { step: "metrics", done, total } = event {
                    last = Some((done, total));
                }
            })
            .unwrap();
        let images = 20 * rows.len() as u64;
        assert_eq!(last, Some((images, images)), "progress ends at its total");
        rows
    };
    let (trials, single) = (rows(Some(EvalProtocol::Edm)), rows(None));
    assert_eq!(trials.len(), 3);
    let fds: Vec<f64> = trials.iter().map(|row| row.report.fd).collect();
    assert!(fds[0] != fds[1] && fds[1] != fds[2], "{fds:?}");
    assert_eq!(trials[0].name, "student, trial 1");
    assert_eq!((trials[0].report.clone(), "student"), (single[0].report.clone(), &*single[0].name));
    let least = fds.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(Quoted::of(Some(EvalProtocol::Edm), &trials).metrics["fd"], least);
    assert_eq!(single[0].evaluations, Some(1));
    assert!(single[0].report.accuracy.is_some() && single[0].report.intervals.is_none());
}

/// The evaluated images are padded to the feature network, the references to the evaluated images.
#[test]
fn images_are_padded_to_one_size() {
    let (real, evaluated) = (images(12, 2, 1), images(12, 2, 1));
    let extractor = Pixels { side: Some(4) };
    let request = Request {
        real: named(&real),
        ..Request::new(Subject::Images(Cow::Borrowed(&evaluated)), &extractor, &Device::Cpu)
    };
    let rows = Plan::resolve(request).unwrap().run(&mut |_| ()).unwrap();
    assert!(rows[0].report.fd < 1e-6, "equal sets: {}", rows[0].report.fd);
    assert_eq!((rows[0].evaluations, rows[0].report.images), (None, 12));
    assert!(rows[0].report.intervals.is_some());
}

#[test]
fn copies_are_shown_above_their_originals() {
    let (real, training) = (images(12, 4, 1), images(20, 4, 2));
    let extractor = Pixels { side: None };
    let evaluated = training.thin(12).unwrap();
    let request = Request {
        real: named(&real),
        training: Some(Images { name: "training", dataset: Cow::Borrowed(&training) }),
        ..Request::new(Subject::Images(Cow::Borrowed(&evaluated)), &extractor, &Device::Cpu)
    };
    let plan = Plan::resolve(request).unwrap();
    let report = plan.run(&mut |_| ()).unwrap().remove(0).report;
    let found = report.memorization.as_ref().unwrap();
    assert_eq!((found.share, found.images), (1.0, 12), "as many as there are real images");
    let picture = plan.nearest_pairs(&report).unwrap().unwrap();
    let picture = data::png::decode(&picture, 1 << 20, "pairs").unwrap();
    let (above, below) = picture.pixels.split_at(picture.pixels.len() / 2);
    assert!(above == below && above.iter().any(|&it| it != 0));
}

#[test]
fn rejects_inputs_that_do_not_fit() {
    let (real, few, wide) = (images(12, 4, 1), images(5, 4, 1), images(12, 6, 1));
    let extractor = Pixels { side: None };
    let of = |subject, real| {
        let request = Request { real, ..Request::new(subject, &extractor, &Device::Cpu) };
        Plan::resolve(request).err().map(|err| err.to_string()).unwrap_or_default()
    };
    let evaluated = |dataset| Subject::Images(Cow::Borrowed(dataset));
    #[rustfmt::skip]
    let table = [
        (of(evaluated(&real), named(&few)), "real images: 5 are too few; use at least 6"),
        (of(evaluated(&few), named(&real)), "evaluated images: 5 are too few"),
        (of(evaluated(&real), named(&wide)), "data `real`: its images have 6 pixels per side, the evaluated images 4"),
        (of(samplers(spec(5)), named(&real)), "images to sample: 5 are too few"),
        (of(samplers(spec(9)), named(&wide)), "its images are [1, 6, 6], the network requires [1, 4, 4]"),
        (of(samplers(SampleSpec { label_dim: 3, ..spec(9) }), named(&real)), "its labels have 2 classes, the network requires 3"),
        (of(samplers(SampleSpec { shape: vec![2], ..spec(9) }), named(&real)), "[2]"),
    ];
    for (found, expected) in table {
        assert!(found.contains(expected), "`{expected}` is not in `{found}`");
    }
    let training = Images { name: "mine", dataset: Cow::Borrowed(&real) };
    let request = Request {
        training: Some(training),
        ..Request::new(evaluated(&real), &extractor, &Device::Cpu)
    };
    let err = Plan::resolve(request).err().unwrap();
    assert!(err.to_string().starts_with("training images `mine`"), "{err}");
    let strict = Pixels { side: Some(9) };
    let request =
        Request { real: named(&real), ..Request::new(evaluated(&real), &strict, &Device::Cpu) };
    let err = Plan::resolve(request).err().unwrap();
    assert!(matches!(err, Error::ImageShape { found: [1, 4, 4], .. }), "{err}");
}
