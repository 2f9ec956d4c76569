//! How good a generator is, beside its teacher at several numbers of network evaluations.

use std::time::Instant;

use candle_core::{Device, Tensor};
use data::Dataset;
use metrics::{FeatureExtractor, FeatureSet, Options, Reference, Report};
use models::{
    Conditioning, Denoiser,
    edm::sampler::{SamplerConfig, sample, stream_noise},
    generator::generate,
    labels::one_hot,
};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    streams::{Use, stream},
};

/// Which images are made: the same latents and classes for everyone who makes them.
#[derive(Clone, Debug)]
pub struct Drawing<'a> {
    /// Seed of the latents.
    pub seed: u64,
    /// Position of the first image in the seed's stream: drawings with other positions are of other
    /// latents.
    pub first: usize,
    /// How many images.
    pub count: usize,
    /// Images in one forward pass.
    pub batch: usize,
    /// Shape of one image, `[C, H, W]`.
    pub sample: &'a [usize],
    /// Length of a label; 0 for an unconditional network.
    pub label_dim: usize,
    /// The class of every image; without one, classes take turns.
    pub class: Option<u32>,
    /// Where it runs.
    pub device: &'a Device,
}

/// More images than any drawing of a seed has: noise of different steps shares no position.
const POSITIONS: u64 = 1 << 32;

/// Who makes them.
#[derive(Clone, Copy)]
pub enum Maker<'a> {
    /// A one-step generator, with the level of its input.
    OneStep {
        /// The network.
        generator: &'a dyn Denoiser,
        /// `σ_init`.
        sigma_init: f64,
    },
    /// A diffusion model under Heun's deterministic sampler.
    Heun {
        /// The network.
        teacher: &'a dyn Denoiser,
        /// Steps: `2 · steps − 1` evaluations.
        steps: usize,
    },
}

impl Maker<'_> {
    /// Network evaluations an image takes.
    pub fn evaluations(&self) -> usize {
        match self {
            Self::OneStep { .. } => 1,
            Self::Heun { steps, .. } => SamplerConfig::heun(*steps).evaluations(),
        }
    }
}

impl Drawing<'_> {
    /// The classes of the images; empty for an unconditional network.
    pub fn classes(&self) -> Vec<u32> {
        match (self.label_dim, self.class) {
            (0, _) => Vec::new(),
            (_, Some(class)) => vec![class; self.count],
            (k, None) => (self.first..self.first + self.count).map(|i| (i % k) as u32).collect(),
        }
    }

    /// Images `start..end` of this drawing by one maker, `[B, C, H, W]`.
    ///
    /// # Errors
    ///
    /// If the network fails.
    pub fn images(&self, maker: Maker<'_>, start: usize, end: usize) -> Result<Tensor, Error> {
        let shape = [&[end - start], self.sample].concat();
        let latents = stream(self.seed, Use::SampleLatent);
        let position = (self.first + start) as u64;
        let z = latents.normal_tensor(position, shape, self.device)?;
        let labels = match self.label_dim {
            0 => None,
            k => Some(one_hot(&self.classes()[start..end], k, self.device)?),
        };
        let cond = Conditioning::labels(labels);
        Ok(match maker {
            Maker::OneStep { generator, sigma_init } => generate(generator, &z, sigma_init, &cond)?,
            Maker::Heun { teacher, steps } => {
                let churn = stream(self.seed, Use::Churn);
                let mut noise = stream_noise(churn, position, POSITIONS, self.device);
                sample(teacher, &SamplerConfig::heun(steps), &z, &cond, &mut noise)?
            }
        }
        .detach())
    }

    /// All images in batches.
    pub fn batches<'b>(
        &'b self,
        maker: Maker<'b>,
    ) -> impl Iterator<Item = Result<Tensor, Error>> + 'b {
        (0..self.count).step_by(self.batch.max(1)).map(move |start| {
            self.images(maker, start, (start + self.batch.max(1)).min(self.count))
        })
    }
}

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Who made the images.
    pub name: String,
    /// Network evaluations an image; absent for images that were there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations: Option<usize>,
    /// Milliseconds an image, making it only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Its figures.
    pub report: Report,
}

/// Neighbour that precision, recall, density and coverage look at: prdc's usual choice.
pub const NEIGHBORS: usize = 5;

/// Makes images, and their figures against a reference. `progress` is told how many are done.
///
/// Classes of `wanted` are replaced by those of the drawing, if the feature network knows as many.
///
/// # Errors
///
/// If the network fails or a figure cannot be computed.
pub fn row(
    name: &str,
    maker: Maker<'_>,
    drawing: &Drawing<'_>,
    extractor: &dyn FeatureExtractor,
    reference: &Reference,
    wanted: &Options<'_>,
    mut progress: impl FnMut(u64) -> Result<(), Error>,
) -> Result<Row, Error> {
    let mut seconds = 0.0;
    let mut done = 0;
    let mut batches = drawing.batches(maker);
    let timed = std::iter::from_fn(|| {
        let started = Instant::now();
        let batch = batches.next()?;
        seconds += started.elapsed().as_secs_f64();
        done += batch.as_ref().map_or(0, |batch| batch.dims()[0]) as u64;
        Some(progress(done).and(batch).and_then(|images| Ok(data::round_to_bytes(&images)?)))
    });
    let features = FeatureSet::collect(extractor, timed)?;
    let classes = drawing.classes();
    // Classes of another count than the feature network's are other classes.
    let known = features.logits.as_ref().map_or(0, metrics::Matrix::dim);
    let labels = (!classes.is_empty() && known == drawing.label_dim).then_some(classes.as_slice());
    let report = metrics::evaluate(&features, reference, &Options { labels, ..*wanted })?;
    let milliseconds = Some(1e3 * seconds / drawing.count as f64);
    Ok(Row { name: name.into(), evaluations: Some(maker.evaluations()), milliseconds, report })
}

/// Features of the images of a data set. `progress` is told how many are done.
///
/// # Errors
///
/// If the images do not fit the extractor.
pub fn features(
    dataset: &Dataset,
    batch: usize,
    extractor: &dyn FeatureExtractor,
    device: &Device,
    mut progress: impl FnMut(u64) -> Result<(), Error>,
) -> Result<FeatureSet, Error> {
    let count = dataset.len();
    let batches = (0..count).step_by(batch.max(1)).map(|start| {
        progress(start as u64)?;
        let indices: Vec<usize> = (start..(start + batch.max(1)).min(count)).collect();
        Ok::<_, Error>(dataset.batch(&indices, device)?.images)
    });
    FeatureSet::collect(extractor, batches)
}
