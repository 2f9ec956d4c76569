//! The teacher's own samples, made once and cached in the run's folder.
//!
//! They serve as pairs of latent and image for DMD's regression, and as real images if there is no
//! data set (the data-free mode).

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use data::{Dataset, Labels};
use models::{
    Conditioning, Denoiser,
    edm::sampler::{SamplerConfig, sample, stream_noise},
    labels::one_hot,
    params::is_finite,
    tensor_file::TensorFile,
};

use crate::{
    Error,
    config::streams::{Use, stream},
    labels::class_at,
};

/// Name of the cache inside a run's folder.
pub(crate) const FILE: &str = "teacher-samples.safetensors";

/// Everything that determines the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherSampleSpec {
    /// Hash of the teacher's file.
    pub teacher: String,
    /// Seed of the run.
    pub seed: u64,
    /// Number of samples.
    pub count: usize,
    /// Steps of Heun's sampler.
    pub steps: usize,
    /// Shape of one sample.
    pub sample: Vec<usize>,
    /// Length of a label; 0 for an unconditional teacher.
    pub label_dim: usize,
}

impl TeacherSampleSpec {
    /// The identity that a cache stores. Caches of older versions hold these very bytes.
    fn identity(&self) -> String {
        let Self { teacher, seed, count, steps, sample, label_dim } = self;
        let sample: Vec<String> = sample.iter().map(usize::to_string).collect();
        let sample = sample.join(", ");
        format!(
            "Recipe {{ teacher: \"{teacher}\", seed: {seed}, count: {count}, steps: {steps}, \
             sample: [{sample}], label_dim: {label_dim} }}"
        )
    }
}

/// Samples of a teacher, with their latents and classes.
pub struct TeacherSamples {
    spec: TeacherSampleSpec,
    /// `[N, ...]`, data units, on the CPU.
    images: Tensor,
    classes: Vec<u32>,
}

impl TeacherSamples {
    /// Samples the teacher. `progress` receives the number of finished samples and the total, and
    /// stops the sampling by an error.
    ///
    /// Classes follow the data set `labels` if it has classes; otherwise they are uniform.
    ///
    /// # Errors
    ///
    /// If the teacher or `progress` fails.
    pub fn generate(
        spec: TeacherSampleSpec,
        teacher: &dyn Denoiser,
        labels: Option<&Dataset>,
        batch: usize,
        device: &Device,
        mut progress: impl FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let classes = classes(&spec, labels);
        let config = SamplerConfig::heun(spec.steps);
        let mut parts = Vec::new();
        for start in (0..spec.count).step_by(batch) {
            let end = (start + batch).min(spec.count);
            progress(start as u64, spec.count as u64)?;
            let shape = [&[end - start], spec.sample.as_slice()].concat();
            let latents = stream(spec.seed, Use::PairLatent);
            let z = latents.normal_tensor(start as u64, shape, device)?;
            let labels = match spec.label_dim {
                0 => None,
                k => Some(one_hot(&classes[start..end], k, device)?),
            };
            let churn = stream(spec.seed, Use::Churn);
            let mut noise = stream_noise(churn, start as u64, spec.count as u64, device);
            let cond = Conditioning::labels(labels);
            let images = sample(teacher, &config, &z, &cond, &mut noise)?;
            parts.push(images.to_dtype(DType::F32)?.to_device(&Device::Cpu)?);
        }
        progress(spec.count as u64, spec.count as u64)?;
        Ok(Self { images: Tensor::cat(&parts, 0)?, classes, spec })
    }

    /// Reads the cache of an earlier session; `None` if it does not exist or belongs to another `spec`.
    ///
    /// # Errors
    ///
    /// If the file is damaged.
    pub(crate) fn load(path: &Path, spec: &TeacherSampleSpec) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let mut file = TensorFile::load(path)?;
        if file.metadata.get("recipe") != Some(&spec.identity()) {
            return Ok(None);
        }
        let (Some(images), Some(classes)) =
            (file.tensors.remove("images"), file.tensors.remove("classes"))
        else {
            let reason =
                "its images or classes are missing; delete it, and the next run makes it anew"
                    .to_owned();
            return Err(Error::Checkpoint { path: path.into(), reason });
        };
        let classes: Vec<u32> = classes.to_vec1().map_err(|err| Error::Checkpoint {
            path: path.into(),
            reason: format!("its classes are not a list of u32 ({err}); delete it"),
        })?;
        let shape = [&[spec.count], spec.sample.as_slice()].concat();
        let classes_fit = match spec.label_dim {
            0 => true,
            k => classes.len() == spec.count && classes.iter().all(|&it| (it as usize) < k),
        };
        if images.dims() != shape || images.dtype() != DType::F32 || !classes_fit {
            let reason = "its images or classes do not fit its description; delete it".into();
            return Err(Error::Checkpoint { path: path.into(), reason });
        }
        if !is_finite(&images)? {
            let reason = "it holds a NaN or an infinity; delete it".into();
            return Err(Error::Checkpoint { path: path.into(), reason });
        }
        Ok(Some(Self { images, classes, spec: spec.clone() }))
    }

    /// Writes the cache for the next session.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Error> {
        let classes = Tensor::from_slice(&self.classes, self.classes.len(), &Device::Cpu)?;
        let tensors = [("images", self.images.clone()), ("classes", classes)];
        let file = TensorFile {
            tensors: tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into(),
            metadata: [("recipe".to_owned(), self.spec.identity())].into(),
        };
        Ok(file.save(path)?)
    }

    /// The images as a data set, rounded to bytes: the reference of metrics if there are no real
    /// images.
    ///
    /// # Errors
    ///
    /// If the samples are not images `[C, H, W]`.
    pub fn to_dataset(&self) -> Result<Dataset, Error> {
        let &[channels, height, width] = self.spec.sample.as_slice() else {
            return Err(Error::unusable(
                FILE,
                "its samples are not images [C, H, W]; only images make a data set",
            ));
        };
        let labels = match self.spec.label_dim {
            0 => Labels::None,
            classes => Labels::Classes { classes, of_image: self.classes.clone() },
        };
        Ok(Dataset::new(FILE, [channels, height, width], data::to_u8(&self.images)?, labels)?)
    }

    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.spec.count
    }

    /// The images `[B, ...]` at these indices.
    ///
    /// # Errors
    ///
    /// If an index is beyond the end.
    pub(crate) fn images(&self, indices: &[usize], device: &Device) -> Result<Tensor, Error> {
        let indices: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        let indices = Tensor::from_slice(&indices, indices.len(), &Device::Cpu)?;
        Ok(self.images.index_select(&indices, 0)?.to_device(device)?)
    }

    /// The latents `[B, ...]` at these indices.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub(crate) fn latents(&self, indices: &[usize], device: &Device) -> Result<Tensor, Error> {
        let size = self.spec.sample.iter().product();
        let mut values = vec![0f32; indices.len() * size];
        let latents = stream(self.spec.seed, Use::PairLatent);
        for (row, &index) in values.chunks_mut(size).zip(indices) {
            latents.fill_normal(index as u64, row);
        }
        let shape = [&[indices.len()], self.spec.sample.as_slice()].concat();
        Ok(Tensor::from_vec(values, shape, device)?)
    }

    /// The labels `[B, K]` at these indices; `None` for an unconditional teacher.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub(crate) fn labels(
        &self,
        indices: &[usize],
        device: &Device,
    ) -> Result<Option<Tensor>, Error> {
        if self.spec.label_dim == 0 {
            return Ok(None);
        }
        let classes: Vec<u32> = indices.iter().map(|&index| self.classes[index]).collect();
        Ok(Some(one_hot(&classes, self.spec.label_dim, device)?))
    }
}

fn classes(spec: &TeacherSampleSpec, labels: Option<&Dataset>) -> Vec<u32> {
    let random = stream(spec.seed, Use::PairLabel);
    let uniform = |position| class_at(&random, position, spec.label_dim);
    let class = |position| {
        let image = labels.map(|set| random.below(position, 0, set.len() as u64) as usize);
        image.and_then(|index| labels?.label(index)).unwrap_or_else(|| uniform(position))
    };
    (0..spec.count as u64).map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by version 0.1, from `#[derive(Debug)]`.
    const OLD: &str = "Recipe { teacher: \"0123abcd\", seed: 7, count: 2048, steps: 9, \
                       sample: [1, 32, 32], label_dim: 10 }";

    #[test]
    fn the_identity_is_that_of_old_caches() {
        let spec = TeacherSampleSpec {
            teacher: "0123abcd".into(),
            seed: 7,
            count: 2048,
            steps: 9,
            sample: vec![1, 32, 32],
            label_dim: 10,
        };
        assert_eq!(spec.identity(), OLD);
    }
}
