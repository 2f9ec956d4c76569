//! All metrics of one set of generated images, in a form that serializes.

use serde::{Deserialize, Serialize};

use crate::kid::KidSubsets;
use crate::prdc::{NEIGHBORS, Neighborhoods};
use crate::{
    Bootstrap, Error, ExtractorId, FeatureSet, FrechetReference, Interval, Matrix, Memorization,
    Moments, ReferenceStats, Result, class_accuracy, class_divergence, inception_score, kid,
    kid_subsets, memorization,
};

/// Reference for generated images: features of images, statistics of features, or both. Its
/// covariances are decomposed once, for any number of generated sets.
///
/// Statistics, if given, determine the Fréchet distances; all other metrics need the images.
#[derive(Debug)]
pub struct Reference {
    images: Option<FeatureSet>,
    /// Number of images, if known.
    count: Option<u64>,
    extractor: Option<ExtractorId>,
    features: FrechetReference,
    spatial: Option<FrechetReference>,
}

impl Reference {
    /// Makes a reference from features of images and statistics of a file. The caller checks that
    /// both belong to the same images ([`ReferenceStats::check_dataset`]).
    ///
    /// # Errors
    ///
    /// If neither is given, there are fewer than two images, the two belong to different
    /// extractors, or a covariance has a clearly negative eigenvalue.
    pub fn new(images: Option<FeatureSet>, statistics: Option<ReferenceStats>) -> Result<Self> {
        let of = |rows: &Matrix| Moments::of(rows).gaussian();
        if let (Some(images), Some(known)) = (&images, &statistics) {
            known.check_extractor(&images.extractor, images.features.dim())?;
        }
        let origin = statistics.as_ref().and_then(|known| known.origin.clone());
        let (features, spatial) = match (statistics, &images) {
            (Some(known), _) => (known.gaussian, known.spatial),
            (None, Some(images)) => (of(&images.features)?, None),
            (None, None) => return Err(Error::TooFew { what: "references", needed: 2, found: 0 }),
        };
        let spatial = match (spatial, images.as_ref().and_then(|it| it.spatial.as_ref())) {
            (Some(known), _) => Some(known),
            (None, rows) => rows.map(of).transpose()?,
        };
        let count = images.as_ref().map(|it| it.features.len() as u64);
        let extractor = images.as_ref().map(|it| it.extractor.clone());
        Ok(Self {
            count: count.or(origin.as_ref().map(|it| it.dataset.images)),
            extractor: extractor.or(origin.map(|it| it.extractor)),
            features: FrechetReference::new(features)?,
            spatial: spatial.map(FrechetReference::new).transpose()?,
            images,
        })
    }
}

/// Options of [`evaluate`]: labels, settings, and metrics that are computed on request.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions<'a> {
    /// Class that each generated image is conditioned on.
    pub labels: Option<&'a [u32]>,
    /// Neighbors of precision, recall, density and coverage, `k`: see [`NEIGHBORS`].
    pub neighbors: usize,
    /// Number and largest size of the subsets for [`MetricReport::kid_subsets`]; no subsets leave it out.
    pub kid_subsets: [usize; 2],
    /// Features of training images for [`MetricReport::memorization`], at most as many as references. The
    /// references must not have been used for training.
    pub training: Option<&'a FeatureSet>,
    /// Settings of confidence intervals; `None` leaves them out.
    pub bootstrap: Option<Bootstrap>,
}

impl Default for EvaluateOptions<'_> {
    /// [`NEIGHBORS`], and no metric on request.
    fn default() -> Self {
        Self {
            labels: None,
            neighbors: NEIGHBORS,
            kid_subsets: [0, 1000],
            training: None,
            bootstrap: None,
        }
    }
}

/// Number of nearest pairs in [`MetricReport::memorization`].
const PAIRS: usize = 10;

/// Metrics of a set of generated images against a reference. A metric whose input was not given is
/// absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricReport {
    /// Extractor of the features.
    pub extractor: ExtractorId,
    /// Number of generated images.
    pub images: usize,
    /// Number of reference images, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<u64>,
    /// Neighbors of `precision`, `recall`, `density` and `coverage`, `k`.
    pub neighbors: usize,
    /// Fréchet distance; 0 is best. Compare at equal numbers of images.
    pub fd: f64,
    /// Fréchet distance of the spatial features: sFID, if they are Inception's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spatial_fd: Option<f64>,
    /// KID over the whole sets; 0 is best. The estimate is unbiased and can be negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<f64>,
    /// KID over subsets, as in older tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid_subsets: Option<KidSubsets>,
    /// See [`crate::Prdc::precision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<f64>,
    /// See [`crate::Prdc::recall`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// See [`crate::Prdc::density`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub density: Option<f64>,
    /// See [`crate::Prdc::coverage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Share of images classified as the class they are conditioned on; absent without labels or
    /// logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// See [`crate::class_divergence`]; absent without logits of both sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_kl: Option<f64>,
    /// Inception score with the extractor's classes; absent without logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_score: Option<f64>,
    /// Test for copies of training images; absent without training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memorization: Option<Memorization>,
    /// Confidence intervals; absent unless requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
}

impl MetricReport {
    /// Makes a report of the Fréchet distance, the only metric that is never absent.
    pub fn new(extractor: ExtractorId, images: usize, fd: f64) -> Self {
        Self {
            extractor,
            images,
            references: None,
            neighbors: 0,
            fd,
            spatial_fd: None,
            kid: None,
            kid_subsets: None,
            precision: None,
            recall: None,
            density: None,
            coverage: None,
            accuracy: None,
            class_kl: None,
            inception_score: None,
            memorization: None,
            intervals: None,
        }
    }
}

/// Confidence intervals of a [`MetricReport`]'s metrics over other generated images, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Share of the resamples inside.
    pub level: f64,
    /// Number of resamples.
    pub replicates: usize,
    /// Intervals by the name of the metric; `memorization` is the interval of its share.
    #[serde(flatten)]
    pub of: std::collections::BTreeMap<String, Interval>,
}

/// Computes all metrics of `generated` against `reference`.
///
/// # Errors
///
/// If the sets belong to different extractors, the number of neighbors is not below the size of
/// each set, labels do not fit the images or the extractor's classes, or intervals are requested of
/// fewer than 10 images.
pub fn evaluate(
    generated: &FeatureSet,
    reference: &Reference,
    options: &EvaluateOptions<'_>,
) -> Result<MetricReport> {
    let x = &generated.features;
    let mut intervals = Collected { bootstrap: options.bootstrap, of: Default::default() };
    if let Some(extractor) = &reference.extractor {
        extractor.check(&generated.extractor)?;
    }
    let fd = intervals.frechet("fd", x, &reference.features)?;
    let spatial = generated.spatial.as_ref().zip(reference.spatial.as_ref());
    let spatial_fd = spatial.map(|(x, y)| intervals.frechet("spatial_fd", x, y)).transpose()?;

    let logits = generated.logits.as_ref();
    let mut report = MetricReport {
        references: reference.count,
        neighbors: options.neighbors,
        spatial_fd,
        inception_score: logits.map(|it| intervals.inception_score(it)).transpose()?,
        ..MetricReport::new(generated.extractor.clone(), x.len(), fd)
    };
    if let Some((logits, labels)) = logits.zip(options.labels) {
        report.accuracy = Some(intervals.accuracy(logits, labels)?);
    }
    if let Some(images) = &reference.images {
        let logits = logits.zip(images.logits.as_ref());
        report.class_kl = logits.map(|(x, y)| class_divergence(x, y)).transpose()?;
        add_image_metrics(&mut report, &mut intervals, x, images, options)?;
    }
    report.intervals = intervals.finish();
    Ok(report)
}

/// Adds the metrics that need the features of each reference image.
fn add_image_metrics(
    report: &mut MetricReport,
    intervals: &mut Collected,
    x: &Matrix,
    images: &FeatureSet,
    options: &EvaluateOptions<'_>,
) -> Result<()> {
    let y = &images.features;
    report.kid = Some(intervals.kid(x, y)?);
    let [subsets, largest] = options.kid_subsets;
    if subsets != 0 {
        // Subsets of more than half of a set overlap, so that their spread is too small.
        let size = largest.min(x.len().min(y.len()) / 2);
        report.kid_subsets = Some(kid_subsets(x, y, subsets, size, 0)?);
    }
    let k = options.neighbors;
    let depth = Bootstrap::depth(k);
    let neighborhoods = Neighborhoods::new(x, y, k, depth)?;
    let neighbors = neighborhoods.metrics(&vec![1; x.len()]);
    report.precision = Some(neighbors.precision);
    report.recall = Some(neighbors.recall);
    report.density = Some(neighbors.density);
    report.coverage = Some(neighbors.coverage);
    intervals.neighbors(&neighborhoods, x.len())?;
    if let Some(training) = options.training {
        images.extractor.check(&training.extractor)?;
        // Equal numbers, because the nearest of more images is nearer.
        let held_out = evenly(y, training.features.len());
        report.memorization = Some(intervals.memorization(x, &training.features, &held_out)?);
    }
    Ok(())
}

/// Selects `count` rows at equal distances, or all if there are fewer.
fn evenly(rows: &Matrix, count: usize) -> Matrix {
    let count = count.min(rows.len());
    rows.select(&(0..count).map(|i| i * rows.len() / count).collect::<Vec<_>>())
}

/// Computes metrics and, if requested, collects their intervals.
struct Collected {
    bootstrap: Option<Bootstrap>,
    of: std::collections::BTreeMap<String, Interval>,
}

impl Collected {
    /// Keeps the interval that `make` returns, if intervals are requested.
    fn keep(
        &mut self,
        name: &str,
        make: impl FnOnce(&Bootstrap) -> Result<Interval>,
    ) -> Result<()> {
        if let Some(bootstrap) = &self.bootstrap {
            self.of.insert(name.to_owned(), make(bootstrap)?);
        }
        Ok(())
    }

    fn frechet(&mut self, name: &str, x: &Matrix, reference: &FrechetReference) -> Result<f64> {
        let gaussian = Moments::of(x).gaussian()?;
        let fd = reference.distance(&gaussian)?;
        self.keep(name, |it| it.frechet_around(fd, x, &gaussian, reference))?;
        Ok(fd)
    }

    fn kid(&mut self, x: &Matrix, y: &Matrix) -> Result<f64> {
        let found = kid(x, y)?;
        self.keep("kid", |it| it.kid_around(found, x, y))?;
        Ok(found)
    }

    fn neighbors(&mut self, neighborhoods: &Neighborhoods, images: usize) -> Result<()> {
        let Some(bootstrap) = &self.bootstrap else { return Ok(()) };
        let of = bootstrap.prdc_of(neighborhoods, images)?;
        self.of.extend([
            ("precision".to_owned(), of.precision),
            ("recall".to_owned(), of.recall),
            ("density".to_owned(), of.density),
            ("coverage".to_owned(), of.coverage),
        ]);
        Ok(())
    }

    fn accuracy(&mut self, logits: &Matrix, labels: &[u32]) -> Result<f64> {
        self.keep("accuracy", |it| it.class_accuracy(logits, labels))?;
        class_accuracy(logits, labels)
    }

    fn inception_score(&mut self, logits: &Matrix) -> Result<f64> {
        self.keep("inception_score", |it| it.inception_score(logits))?;
        inception_score(logits)
    }

    fn memorization(
        &mut self,
        x: &Matrix,
        training: &Matrix,
        held_out: &Matrix,
    ) -> Result<Memorization> {
        let found = memorization(x, training, held_out, PAIRS)?;
        self.keep("memorization", |it| it.mean(&found.wins))?;
        Ok(found)
    }

    fn finish(self) -> Option<Intervals> {
        let Self { bootstrap, of } = self;
        bootstrap.map(|Bootstrap { level, replicates, .. }| Intervals { level, replicates, of })
    }
}
