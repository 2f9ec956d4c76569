//! All figures of one set of generated images, to be printed or kept.

use serde::{Deserialize, Serialize};

use crate::kid::KidSubsets;
use crate::prdc::Neighborhoods;
use crate::{
    Bootstrap, Error, ExtractorId, FeatureSet, FrechetReference, Interval, Memorization, Moments,
    ReferenceStats, Result, Rows, class_accuracy, inception_score, kid, kid_subsets, memorization,
};

/// What generated images are compared with: images, or statistics of images, or both. Its covariances
/// are decomposed once, for any number of sets.
///
/// The Fréchet distances are taken from the statistics where there are any; all other figures need
/// the images.
#[derive(Debug)]
pub struct Reference {
    images: Option<FeatureSet>,
    /// Number of images, where it is known.
    count: Option<u64>,
    extractor: Option<ExtractorId>,
    features: FrechetReference,
    spatial: Option<FrechetReference>,
}

impl Reference {
    /// Features of images, and statistics of a file. Whether the statistics are of the same images is
    /// the caller's to check ([`ReferenceStats::check_dataset`]).
    ///
    /// # Errors
    ///
    /// If there is neither, there are fewer than two images, the two are of different extractors, or a
    /// covariance has a clearly negative eigenvalue.
    pub fn new(images: Option<FeatureSet>, statistics: Option<ReferenceStats>) -> Result<Self> {
        let of = |rows: &Rows| Moments::of(rows).gaussian();
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

/// Which figures are wanted, beside those that are always made.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Classes that the generated images were asked for.
    pub labels: Option<&'a [u32]>,
    /// Which neighbour precision, recall, density and coverage look at.
    pub neighbors: usize,
    /// Number and largest size of the subsets for [`Report::kid_subsets`]; 0 subsets for none.
    pub kid_subsets: [usize; 2],
    /// Features of training images, no more than there are references: how near the generated images
    /// are to them, against the references, which must not have been trained on.
    pub training: Option<&'a FeatureSet>,
    /// Intervals of the figures.
    pub bootstrap: Option<Bootstrap>,
}

/// Neighbor that precision, recall, density and coverage look at: prdc's usual choice.
pub const NEIGHBORS: usize = 5;

impl Default for Wanted<'_> {
    /// Five neighbours, and nothing that is left out by nothing being said.
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

/// Nearest pairs that a report keeps of [`Report::memorization`].
const PAIRS: usize = 10;

/// The figures of a set of generated images against a set of references. What could not be made from
/// what was at hand is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whose features they are statistics of.
    pub extractor: ExtractorId,
    /// Generated images.
    pub images: usize,
    /// Reference images, where their number is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<u64>,
    /// Which neighbour `precision`, `recall`, `density` and `coverage` look at.
    pub neighbors: usize,
    /// Fréchet distance; 0 is best. Compare at equal numbers of images.
    pub fd: f64,
    /// Fréchet distance of the spatial features: the field's sFID, if they are Inception's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spatial_fd: Option<f64>,
    /// Kernel distance over the whole sets; 0 is best, and may be undershot by chance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<f64>,
    /// Kernel distance over subsets, as older tables have it.
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
    /// Share of images classified as the class asked for; absent without labels or logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Inception score by the extractor's own classes; absent without logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_score: Option<f64>,
    /// Whether training images are repeated; absent unless they are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memorization: Option<Memorization>,
    /// How far the figures could move; absent unless asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<Intervals>,
}

impl Report {
    /// A report of the one figure that is never absent.
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
            inception_score: None,
            memorization: None,
            intervals: None,
        }
    }
}

/// Confidence intervals of a [`Report`]'s figures over other generated images, under their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Share of the resamples inside.
    pub level: f64,
    /// Resamples.
    pub replicates: usize,
    /// Intervals by the name of the figure; `memorization` is its share.
    #[serde(flatten)]
    pub of: std::collections::BTreeMap<String, Interval>,
}

/// All figures of `generated` against `reference`.
///
/// # Errors
///
/// If the sets are of different extractors, there is nothing to compare with, the neighbour is not
/// below the size of each set, there are labels and they do not fit the images or the extractor's
/// classes, or there are fewer than 10 images and intervals are wanted.
pub fn evaluate(
    generated: &FeatureSet,
    reference: &Reference,
    wanted: &Wanted<'_>,
) -> Result<Report> {
    let x = &generated.features;
    let mut intervals = Collected { bootstrap: wanted.bootstrap, of: Default::default() };
    if let Some(extractor) = &reference.extractor {
        extractor.check(&generated.extractor)?;
    }
    let fd = intervals.frechet("fd", x, &reference.features)?;
    let spatial = generated.spatial.as_ref().zip(reference.spatial.as_ref());
    let spatial_fd = spatial.map(|(x, y)| intervals.frechet("spatial_fd", x, y)).transpose()?;

    let logits = generated.logits.as_ref();
    let mut report = Report {
        references: reference.count,
        neighbors: wanted.neighbors,
        spatial_fd,
        inception_score: logits.map(|it| intervals.inception_score(it)).transpose()?,
        ..Report::new(generated.extractor.clone(), x.len(), fd)
    };
    if let Some((logits, labels)) = logits.zip(wanted.labels) {
        report.accuracy = Some(intervals.accuracy(logits, labels)?);
    }
    if let Some(images) = &reference.images {
        against_images(&mut report, &mut intervals, x, images, wanted)?;
    }
    report.intervals = intervals.finish();
    Ok(report)
}

/// The figures that need the references one by one.
fn against_images(
    report: &mut Report,
    intervals: &mut Collected,
    x: &Rows,
    images: &FeatureSet,
    wanted: &Wanted<'_>,
) -> Result<()> {
    let y = &images.features;
    report.kid = Some(intervals.kid(x, y)?);
    let [subsets, largest] = wanted.kid_subsets;
    if subsets != 0 {
        // Of a subset that is nearly the whole set the spread says nothing.
        let size = largest.min(x.len().min(y.len()) / 2);
        report.kid_subsets = Some(kid_subsets(x, y, subsets, size, 0)?);
    }
    let k = wanted.neighbors;
    let depth = Bootstrap::depth(k);
    let neighborhoods = Neighborhoods::new(x, y, k, depth)?;
    let neighbors = neighborhoods.figures(&vec![1; x.len()]);
    report.precision = Some(neighbors.precision);
    report.recall = Some(neighbors.recall);
    report.density = Some(neighbors.density);
    report.coverage = Some(neighbors.coverage);
    intervals.neighbors(&neighborhoods, x.len())?;
    if let Some(training) = wanted.training {
        images.extractor.check(&training.extractor)?;
        // The nearest of more images is nearer: as many are held out as were trained on.
        let held_out = evenly(y, training.features.len());
        report.memorization = Some(intervals.memorization(x, &training.features, &held_out)?);
    }
    Ok(())
}

/// `count` rows from all over the set, or all if there are no more.
fn evenly(rows: &Rows, count: usize) -> Rows {
    let count = count.min(rows.len());
    rows.select(&(0..count).map(|i| i * rows.len() / count).collect::<Vec<_>>())
}

/// Figures with, where wanted, their intervals.
struct Collected {
    bootstrap: Option<Bootstrap>,
    of: std::collections::BTreeMap<String, Interval>,
}

impl Collected {
    /// Keeps the interval that `make` gives, if intervals are wanted.
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

    fn frechet(&mut self, name: &str, x: &Rows, reference: &FrechetReference) -> Result<f64> {
        let gaussian = Moments::of(x).gaussian()?;
        let fd = reference.distance(&gaussian)?;
        self.keep(name, |it| it.frechet_around(fd, x, &gaussian, reference))?;
        Ok(fd)
    }

    fn kid(&mut self, x: &Rows, y: &Rows) -> Result<f64> {
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

    fn accuracy(&mut self, logits: &Rows, labels: &[u32]) -> Result<f64> {
        self.keep("accuracy", |it| it.class_accuracy(logits, labels))?;
        class_accuracy(logits, labels)
    }

    fn inception_score(&mut self, logits: &Rows) -> Result<f64> {
        self.keep("inception_score", |it| it.inception_score(logits))?;
        inception_score(logits)
    }

    fn memorization(&mut self, x: &Rows, training: &Rows, held_out: &Rows) -> Result<Memorization> {
        let found = memorization(x, training, held_out, PAIRS)?;
        self.keep("memorization", |it| it.mean(&found.wins))?;
        Ok(found)
    }

    fn finish(self) -> Option<Intervals> {
        let Self { bootstrap, of } = self;
        bootstrap.map(|Bootstrap { level, replicates, .. }| Intervals { level, replicates, of })
    }
}
