//! Execution of a plan: features of the references once, then one row per sampler and trial.

use std::time::Instant;

use candle_core::Tensor;
use data::Dataset;
use metrics::{Bootstrap, EvaluateOptions, FeatureSet, Matrix, NEIGHBORS, Reference};
use models::sampling::{SampleSpec, Sampler};

use crate::{Error, Event, OnEvent, Plan, Result, Row, Subject, feature_cache::features};

/// Images in a subset for the kernel distance, as in public tools.
const KID_SUBSET: usize = 1000;

impl Plan<'_> {
    /// Evaluates: one row per sampler and trial, or one row for existing images.
    ///
    /// # Errors
    ///
    /// If a network fails or a metric cannot be computed.
    pub fn run(&self, progress: &mut OnEvent<'_>) -> Result<Vec<Row>> {
        let real = &self.reference;
        let images = real.images.as_deref();
        let images = images.map(|it| self.features("the real images", it, progress)).transpose()?;
        let training = self.training.as_deref();
        let training =
            training.map(|it| self.features("the training images", it, progress)).transpose()?;
        let reference = Reference::new(images, real.statistics.clone())?;
        let evaluator = Evaluator { plan: self, reference, training };
        match &self.subject {
            Subject::Images(dataset) => Ok(vec![evaluator.images(dataset, progress)?]),
            Subject::Samplers { samplers, spec } => evaluator.samplers(samplers, spec, progress),
        }
    }

    fn features(
        &self,
        set: &'static str,
        dataset: &Dataset,
        progress: &mut OnEvent<'_>,
    ) -> Result<FeatureSet> {
        features(set, dataset, self.extractor, self.cache, self.device, progress)
    }
}

/// A plan with the features of its references.
struct Evaluator<'a> {
    plan: &'a Plan<'a>,
    reference: Reference,
    training: Option<FeatureSet>,
}

impl Evaluator<'_> {
    /// The row of existing images.
    fn images(&self, dataset: &Dataset, progress: &mut OnEvent<'_>) -> Result<Row> {
        let features = self.plan.features("the images", dataset, progress)?;
        let labels: Option<Vec<u32>> = (0..dataset.len()).map(|i| dataset.label(i)).collect();
        let labels = labels.filter(|_| dataset.classes() == known_classes(&features));
        self.row("images", &features, labels.as_deref())
    }

    /// The rows of samplers, trial by trial, each trial from its own latents.
    fn samplers(
        &self,
        samplers: &[(String, Sampler<'_>)],
        spec: &SampleSpec,
        progress: &mut OnEvent<'_>,
    ) -> Result<Vec<Row>> {
        let trials = self.plan.trials();
        let cost: u64 = samplers.iter().map(|(_, it)| it.evaluations() as u64).sum();
        let total = cost * (spec.count * trials) as u64;
        let (mut before, mut rows) = (0, Vec::new());
        for trial in 0..trials {
            let spec = SampleSpec { first: spec.first + trial * spec.count, ..spec.clone() };
            for (name, sampler) in samplers {
                let evaluations = sampler.evaluations() as u64;
                let done = |images: u64| before + images * evaluations;
                let mut progress = |images| {
                    let done = done(images);
                    progress(Event::Progress { step: "metrics", done, total });
                };
                let name = match self.plan.protocol {
                    Some(_) => format!("{name}, trial {}", trial + 1),
                    None => name.clone(),
                };
                rows.push(self.sampler(&name, *sampler, &spec, &mut progress)?);
                before = done(spec.count as u64);
            }
        }
        Ok(rows)
    }

    /// Samples images and computes their metrics. `progress` receives the number of images so far.
    fn sampler(
        &self,
        name: &str,
        sampler: Sampler<'_>,
        spec: &SampleSpec,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Row> {
        let (mut seconds, mut done) = (0.0, 0);
        let mut batches = spec.batches(sampler);
        let timed = std::iter::from_fn(|| {
            let started = Instant::now();
            let batch = batches.next()?;
            seconds += started.elapsed().as_secs_f64();
            done += batch.as_ref().map_or(0, |batch| batch.dims()[0]) as u64;
            progress(done);
            // As an 8-bit file would give them back: the evaluated images are those of a user.
            let stored = |images: Tensor| Ok(data::round_to_bytes(&images)?);
            Some(batch.map_err(Error::from).and_then(stored))
        });
        let features = FeatureSet::collect(self.plan.extractor, timed)?;
        let classes = spec.classes();
        // With another number of classes than the feature network, the classes are others.
        let same = !classes.is_empty() && known_classes(&features) == spec.label_dim;
        let row = self.row(name, &features, same.then_some(classes.as_slice()))?;
        let milliseconds = Some(1e3 * seconds / spec.count as f64);
        Ok(Row { evaluations: Some(sampler.evaluations()), milliseconds, ..row })
    }

    fn row(&self, name: &str, features: &FeatureSet, labels: Option<&[u32]>) -> Result<Row> {
        let &Plan { replicates, kid_subsets, .. } = self.plan;
        // A resample of fewer images may hold only one of them.
        let resampled = replicates != 0 && Bootstrap::FEWEST <= self.plan.subject.count();
        let options = EvaluateOptions {
            labels,
            neighbors: NEIGHBORS,
            kid_subsets: [kid_subsets, KID_SUBSET],
            training: self.training.as_ref(),
            bootstrap: resampled.then(|| Bootstrap { replicates, ..Default::default() }),
        };
        let report = metrics::evaluate(features, &self.reference, &options)?;
        Ok(Row { name: name.to_owned(), evaluations: None, milliseconds: None, report })
    }
}

/// Number of classes of the feature network; 0 if it has none.
fn known_classes(features: &FeatureSet) -> usize {
    features.logits.as_ref().map_or(0, Matrix::dim)
}
