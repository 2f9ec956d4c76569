//! All figures of one set of generated images, to be printed or kept.

use serde::{Deserialize, Serialize};

use crate::{
    Bootstrap, ExtractorId, FeatureSet, Interval, Moments, Result, class_accuracy,
    frechet_distance, inception_score, kid, prdc,
};

/// The figures of a set of generated images against a set of references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whose features they are statistics of.
    pub extractor: ExtractorId,
    /// Generated images.
    pub images: usize,
    /// Reference images.
    pub references: usize,
    /// Which neighbour `precision`, `recall`, `density` and `coverage` look at.
    pub neighbors: usize,
    /// Fréchet distance; 0 is best. Compare at equal numbers of images.
    pub fd: f64,
    /// Kernel distance over the whole sets; 0 is best, and may be undershot by chance.
    pub kid: f64,
    /// See [`crate::Prdc::precision`].
    pub precision: f64,
    /// See [`crate::Prdc::recall`].
    pub recall: f64,
    /// See [`crate::Prdc::density`].
    pub density: f64,
    /// See [`crate::Prdc::coverage`].
    pub coverage: f64,
    /// Share of images classified as the class asked for; absent without labels or logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Inception score by the extractor's own classes; absent without logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception_score: Option<f64>,
}

/// All figures; `labels` are the classes that the generated images were asked for.
///
/// # Errors
///
/// If the two sets are of different extractors, `k` is not below the size of each, or there are
/// labels and they do not fit the images or the extractor's classes.
pub fn evaluate(
    generated: &FeatureSet,
    reference: &FeatureSet,
    labels: Option<&[u32]>,
    k: usize,
) -> Result<Report> {
    reference.extractor.check(&generated.extractor)?;
    let (x, y) = (&generated.features, &reference.features);
    let neighbors = prdc(x, y, k)?;
    let logits = generated.logits.as_ref();
    let accuracy = logits.zip(labels).map(|(logits, labels)| class_accuracy(logits, labels));
    Ok(Report {
        extractor: generated.extractor.clone(),
        images: x.len(),
        references: y.len(),
        neighbors: k,
        fd: frechet_distance(&Moments::of(x).gaussian()?, &Moments::of(y).gaussian()?)?,
        kid: kid(x, y)?,
        precision: neighbors.precision,
        recall: neighbors.recall,
        density: neighbors.density,
        coverage: neighbors.coverage,
        accuracy: accuracy.transpose()?,
        inception_score: logits.map(inception_score).transpose()?,
    })
}

/// Confidence intervals of a [`Report`]'s figures over other generated images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of [`Report::fd`].
    pub fd: Interval,
    /// Of [`Report::kid`].
    pub kid: Interval,
    /// Of [`Report::accuracy`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Interval>,
}

/// The intervals that belong to [`evaluate`] of the same arguments.
///
/// # Errors
///
/// As [`evaluate`], and if there are fewer than 10 generated images.
pub fn intervals(
    generated: &FeatureSet,
    reference: &FeatureSet,
    labels: Option<&[u32]>,
    bootstrap: &Bootstrap,
) -> Result<Intervals> {
    reference.extractor.check(&generated.extractor)?;
    let (x, y) = (&generated.features, &reference.features);
    let pair = generated.logits.as_ref().zip(labels);
    let accuracy = pair.map(|(logits, labels)| bootstrap.class_accuracy(logits, labels));
    Ok(Intervals {
        fd: bootstrap.frechet(x, &Moments::of(y).gaussian()?)?,
        kid: bootstrap.kid(x, y)?,
        accuracy: accuracy.transpose()?,
    })
}
