//! Where real images, labels and the teacher's own samples come from.

use candle_core::Tensor;
use data::{Dataset, Stream};
use models::{Conditioning, labels::one_hot};

use crate::{
    Error,
    labels::class_at,
    pairs::Samples,
    step::{Draw, regression::Pairs},
    streams::{Use, derived_seed, stream},
};

/// Images and labels of a run: all read at positions, nothing kept.
pub struct Source {
    /// Real images. Without them, the teacher's samples stand in (the data-free mode).
    pub dataset: Option<Dataset>,
    /// The teacher's own samples, where a method or the data-free mode asks for them.
    pub samples: Option<Samples>,
    /// Length of a label; 0 for an unconditional teacher.
    pub label_dim: usize,
}

impl Source {
    /// A source of nothing: for networks without labels and methods without images.
    pub fn none() -> Self {
        Self { dataset: None, samples: None, label_dim: 0 }
    }

    /// Labels `[B, K]` for the student's samples: those of random real images, or uniform classes
    /// where there are none; `None` for an unconditional teacher.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn labels(&self, draw: &Draw<'_>, of: Use) -> Result<Option<Tensor>, Error> {
        if self.label_dim == 0 {
            return Ok(None);
        }
        let positions = (draw.position..).take(draw.batch);
        let random = stream(draw.seed, of);
        if let Some(dataset) = self.labelled() {
            let pick = |position| random.below(position, 0, dataset.len() as u64) as usize;
            let indices: Vec<usize> = positions.map(pick).collect();
            return Ok(dataset.batch(&indices, draw.device)?.labels);
        }
        let classes: Vec<u32> = positions.map(|p| class_at(&random, p, self.label_dim)).collect();
        Ok(Some(one_hot(&classes, self.label_dim, draw.device)?))
    }

    /// Real images `[B, ...]` in [-1, 1] and their labels `[B, K]`, in a random order that shows
    /// each once an epoch.
    ///
    /// # Errors
    ///
    /// If there are neither real images nor samples of the teacher.
    pub fn real(&self, draw: &Draw<'_>) -> Result<(Tensor, Option<Tensor>), Error> {
        let seed = derived_seed(draw.seed, Use::RealOrder);
        if let Some(dataset) = &self.dataset {
            let stream = Stream { dataset, seed };
            let batch = stream.batch_at(draw.position, draw.batch, draw.device)?;
            let labels = if self.label_dim == 0 { None } else { batch.labels };
            return Ok((batch.images, labels));
        }
        let samples = self.samples()?;
        let indices = order(seed, draw, samples.len());
        Ok((samples.images(&indices, draw.device)?, samples.labels(&indices, draw.device)?))
    }

    /// Latents and the teacher's images of them, for a regression term.
    ///
    /// # Errors
    ///
    /// If there are no samples of the teacher.
    pub fn pairs(&self, draw: &Draw<'_>) -> Result<Pairs, Error> {
        let samples = self.samples()?;
        let indices = order(derived_seed(draw.seed, Use::PairOrder), draw, samples.len());
        Ok(Pairs {
            z: samples.latents(&indices, draw.device)?.to_dtype(draw.dtype)?,
            images: samples.images(&indices, draw.device)?.to_dtype(draw.dtype)?,
            cond: Conditioning::labels(samples.labels(&indices, draw.device)?),
        })
    }

    fn samples(&self) -> Result<&Samples, Error> {
        self.samples.as_ref().ok_or_else(|| {
            Error::unusable(
                "data",
                "the method needs images, and there are none; name a data set, or \
                 `teacher-samples` for the teacher's own",
            )
        })
    }

    fn labelled(&self) -> Option<&Dataset> {
        self.dataset.as_ref().filter(|dataset| dataset.classes() == self.label_dim)
    }
}

fn order(seed: u64, draw: &Draw<'_>, len: usize) -> Vec<usize> {
    let positions = (draw.position..).take(draw.batch);
    positions.map(|position| data::order::index_at(seed, position, len)).collect()
}
