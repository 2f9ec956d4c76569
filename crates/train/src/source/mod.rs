//! Sources of real images, labels and the teacher's own samples.

mod distribution;
pub mod placeholder;
mod teacher_samples;

use candle_core::Tensor;
use data::{Dataset, Stream};
use models::Conditioning;

use crate::{
    Error,
    config::streams::{Use, derived_seed, stream},
    labels::class_at,
    step::{RandomInputs, regression::RegressionPairs},
};

pub use distribution::Distribution;
pub use kernels::noise::NoiseStream;
pub use teacher_samples::{TeacherSampleSpec, TeacherSamples};

pub(crate) use teacher_samples::FILE;

/// Real images of a run.
#[non_exhaustive]
pub enum RealImages {
    /// Images of a data set, with its labels.
    Dataset(Dataset),
    /// Samples of a distribution.
    Distribution(Box<dyn Distribution>),
    /// The teacher's own samples (the data-free mode).
    TeacherSamples,
}

/// Images and labels of a run: functions of a seed and a position, without state.
pub struct Source {
    /// Real images.
    pub real: RealImages,
    /// Samples of the teacher, if a method or the data-free mode needs them.
    pub samples: Option<TeacherSamples>,
    /// Length of a label; 0 for an unconditional teacher.
    pub label_dim: usize,
}

impl Source {
    /// A source without images and labels, for methods that need neither.
    pub fn none() -> Self {
        Self { real: RealImages::TeacherSamples, samples: None, label_dim: 0 }
    }

    /// A source that samples real images from a distribution. `label_dim` is the number of its
    /// classes, or 0 for unconditional networks.
    pub fn distribution(distribution: impl Distribution + 'static, label_dim: usize) -> Self {
        let real = RealImages::Distribution(Box::new(distribution));
        Self { real, samples: None, label_dim }
    }

    /// The data set of real images, if they come from one.
    pub fn dataset(&self) -> Option<&Dataset> {
        match &self.real {
            RealImages::Dataset(dataset) => Some(dataset),
            RealImages::Distribution(_) | RealImages::TeacherSamples => None,
        }
    }

    /// Labels `[B, K]` for the student's samples; `None` for an unconditional teacher.
    ///
    /// They are labels of random real images. In the data-free mode, and if the data set has no
    /// such labels, classes are uniform.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub(crate) fn labels(
        &self,
        inputs: &RandomInputs<'_>,
        of: Use,
    ) -> Result<Option<Tensor>, Error> {
        if self.label_dim == 0 {
            return Ok(None);
        }
        let positions = (inputs.position..).take(inputs.batch);
        let random = stream(inputs.seed, of);
        let classes: Vec<u32> = match &self.real {
            RealImages::Dataset(dataset) if dataset.classes() == self.label_dim => {
                let pick = |position| random.below(position, 0, dataset.len() as u64) as usize;
                let indices: Vec<usize> = positions.map(pick).collect();
                return Ok(dataset.batch(&indices, inputs.device)?.labels);
            }
            RealImages::Distribution(it) => distribution::batch(it.as_ref(), &random, inputs)?.1,
            RealImages::Dataset(_) | RealImages::TeacherSamples => {
                positions.map(|position| class_at(&random, position, self.label_dim)).collect()
            }
        };
        distribution::labels(&classes, self.label_dim, inputs.device)
    }

    /// Real images `[B, ...]` in data units and their labels `[B, K]`. Images of a finite set come
    /// in a random order that shows each once an epoch.
    ///
    /// # Errors
    ///
    /// If there are neither real images nor samples of the teacher.
    pub(crate) fn real(
        &self,
        inputs: &RandomInputs<'_>,
    ) -> Result<(Tensor, Option<Tensor>), Error> {
        let seed = derived_seed(inputs.seed, Use::RealOrder);
        match &self.real {
            RealImages::Dataset(dataset) => {
                let stream = Stream { dataset, seed };
                let batch = stream.batch_at(inputs.position, inputs.batch, inputs.device)?;
                let labels = if self.label_dim == 0 { None } else { batch.labels };
                Ok((batch.images, labels))
            }
            RealImages::Distribution(it) => {
                let random = stream(inputs.seed, Use::RealSample);
                let (images, classes) = distribution::batch(it.as_ref(), &random, inputs)?;
                let labels = distribution::labels(&classes, self.label_dim, inputs.device)?;
                Ok((images, labels))
            }
            RealImages::TeacherSamples => {
                let samples = self.samples()?;
                let indices = order(seed, inputs, samples.len());
                let images = samples.images(&indices, inputs.device)?;
                Ok((images, samples.labels(&indices, inputs.device)?))
            }
        }
    }

    /// Latents and the teacher's images for them, for a regression term.
    ///
    /// # Errors
    ///
    /// If there are no samples of the teacher.
    pub(crate) fn pairs(&self, inputs: &RandomInputs<'_>) -> Result<RegressionPairs, Error> {
        let samples = self.samples()?;
        let indices = order(derived_seed(inputs.seed, Use::PairOrder), inputs, samples.len());
        Ok(RegressionPairs {
            z: samples.latents(&indices, inputs.device)?.to_dtype(inputs.dtype)?,
            images: samples.images(&indices, inputs.device)?.to_dtype(inputs.dtype)?,
            cond: Conditioning::labels(samples.labels(&indices, inputs.device)?),
        })
    }

    fn samples(&self) -> Result<&TeacherSamples, Error> {
        self.samples.as_ref().ok_or_else(|| {
            Error::unusable(
                "data",
                "the method needs images, but the run has none; name a data set, or \
                 `teacher-samples` for the teacher's own",
            )
        })
    }
}

fn order(seed: u64, inputs: &RandomInputs<'_>, len: usize) -> Vec<usize> {
    let positions = (inputs.position..).take(inputs.batch);
    positions.map(|position| data::order::index_at(seed, position, len)).collect()
}
