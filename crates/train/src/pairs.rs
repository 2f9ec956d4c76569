//! The teacher's own samples, made once and kept in the run's folder.
//!
//! They serve two ends: pairs of latent and image for DMD's regression, and "real" images where
//! there is no data set (the data-free mode).

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
    labels::class_at,
    streams::{Use, stream},
};

/// Name of the file that holds them, inside a run's folder.
pub const FILE: &str = "teacher-samples.safetensors";

/// What decides the samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Hash of the teacher's file.
    pub teacher: String,
    /// Seed of the run.
    pub seed: u64,
    /// How many.
    pub count: usize,
    /// Steps of Heun's sampler.
    pub steps: usize,
    /// Shape of one sample.
    pub sample: Vec<usize>,
    /// Length of a label; 0 for an unconditional teacher.
    pub label_dim: usize,
}

/// Samples of a teacher, with the latents and classes that they belong to.
pub struct Samples {
    recipe: Recipe,
    /// `[N, ...]`, data units, on the CPU.
    images: Tensor,
    classes: Vec<u32>,
}

impl Samples {
    /// Makes them; `progress` is told how many are done, and may end it with an error.
    ///
    /// Classes follow `labels` where it has some, else they are uniform.
    ///
    /// # Errors
    ///
    /// If the teacher fails, or `progress` does.
    pub fn make(
        recipe: Recipe,
        teacher: &dyn Denoiser,
        labels: Option<&Dataset>,
        batch: usize,
        device: &Device,
        mut progress: impl FnMut(u64, u64) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let classes = classes(&recipe, labels);
        let config = SamplerConfig::heun(recipe.steps);
        let mut parts = Vec::new();
        for start in (0..recipe.count).step_by(batch) {
            let end = (start + batch).min(recipe.count);
            progress(start as u64, recipe.count as u64)?;
            let shape = [&[end - start], recipe.sample.as_slice()].concat();
            let latents = stream(recipe.seed, Use::PairLatent);
            let z = latents.normal_tensor(start as u64, shape, device)?;
            let labels = match recipe.label_dim {
                0 => None,
                k => Some(one_hot(&classes[start..end], k, device)?),
            };
            let churn = stream(recipe.seed, Use::Churn);
            let mut noise = stream_noise(churn, start as u64, recipe.count as u64, device);
            let cond = Conditioning::labels(labels);
            let images = sample(teacher, &config, &z, &cond, &mut noise)?;
            parts.push(images.to_dtype(DType::F32)?.to_device(&Device::Cpu)?);
        }
        progress(recipe.count as u64, recipe.count as u64)?;
        Ok(Self { images: Tensor::cat(&parts, 0)?, classes, recipe })
    }

    /// Reads those of an earlier session; `None` if there are none, or of another recipe.
    ///
    /// # Errors
    ///
    /// If the file is there and damaged.
    pub fn load(path: &Path, recipe: &Recipe) -> Result<Option<Self>, Error> {
        if !path.exists() {
            return Ok(None);
        }
        let mut file = TensorFile::load(path)?;
        if file.metadata.get("recipe") != Some(&format!("{recipe:?}")) {
            return Ok(None);
        }
        let (Some(images), Some(classes)) =
            (file.tensors.remove("images"), file.tensors.remove("classes"))
        else {
            let reason = "its images or classes are missing; delete it".to_owned();
            return Err(Error::Checkpoint { path: path.into(), reason });
        };
        let classes: Vec<u32> = classes.to_vec1().unwrap_or_default();
        let shape = [&[recipe.count], recipe.sample.as_slice()].concat();
        let classes_fit = match recipe.label_dim {
            0 => true,
            k => classes.len() == recipe.count && classes.iter().all(|&it| (it as usize) < k),
        };
        if images.dims() != shape || images.dtype() != DType::F32 || !classes_fit {
            let reason = "its images or classes are not those that it promises; delete it".into();
            return Err(Error::Checkpoint { path: path.into(), reason });
        }
        if !is_finite(&images)? {
            let reason = "it holds a NaN or an infinity; delete it".into();
            return Err(Error::Checkpoint { path: path.into(), reason });
        }
        Ok(Some(Self { images, classes, recipe: recipe.clone() }))
    }

    /// Writes them for the next session.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let classes = Tensor::from_slice(&self.classes, self.classes.len(), &Device::Cpu)?;
        let tensors = [("images", self.images.clone()), ("classes", classes)];
        let file = TensorFile {
            tensors: tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into(),
            metadata: [("recipe".to_owned(), format!("{:?}", self.recipe))].into(),
        };
        Ok(file.save(path)?)
    }

    /// The images as a data set, rounded to bytes: what figures compare with where there are no
    /// real images.
    ///
    /// # Errors
    ///
    /// If they are not images `[C, H, W]`.
    pub fn to_dataset(&self) -> Result<Dataset, Error> {
        let &[channels, height, width] = self.recipe.sample.as_slice() else {
            return Err(Error::unusable(FILE, "its samples are not images"));
        };
        let labels = match self.recipe.label_dim {
            0 => Labels::None,
            classes => Labels::Classes { classes, of_image: self.classes.clone() },
        };
        Ok(Dataset::new(FILE, [channels, height, width], data::to_u8(&self.images)?, labels)?)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.recipe.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.recipe.count == 0
    }

    /// The images `[B, ...]` of these samples.
    ///
    /// # Errors
    ///
    /// If an index is beyond the end.
    pub fn images(&self, indices: &[usize], device: &Device) -> Result<Tensor, Error> {
        let indices: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        let indices = Tensor::from_slice(&indices, indices.len(), &Device::Cpu)?;
        Ok(self.images.index_select(&indices, 0)?.to_device(device)?)
    }

    /// The latents `[B, ...]` that these samples were made of.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn latents(&self, indices: &[usize], device: &Device) -> Result<Tensor, Error> {
        let size = self.recipe.sample.iter().product();
        let mut numbers = vec![0f32; indices.len() * size];
        let latents = stream(self.recipe.seed, Use::PairLatent);
        for (row, &index) in numbers.chunks_mut(size).zip(indices) {
            latents.fill_normal(index as u64, row);
        }
        let shape = [&[indices.len()], self.recipe.sample.as_slice()].concat();
        Ok(Tensor::from_vec(numbers, shape, device)?)
    }

    /// The labels `[B, K]` of these samples; `None` for an unconditional teacher.
    ///
    /// # Errors
    ///
    /// If the device cannot hold them.
    pub fn labels(&self, indices: &[usize], device: &Device) -> Result<Option<Tensor>, Error> {
        if self.recipe.label_dim == 0 {
            return Ok(None);
        }
        let classes: Vec<u32> = indices.iter().map(|&index| self.classes[index]).collect();
        Ok(Some(one_hot(&classes, self.recipe.label_dim, device)?))
    }
}

fn classes(recipe: &Recipe, labels: Option<&Dataset>) -> Vec<u32> {
    let random = stream(recipe.seed, Use::PairLabel);
    let uniform = |position| class_at(&random, position, recipe.label_dim);
    let class = |position| {
        let image = labels.map(|set| random.below(position, 0, set.len() as u64) as usize);
        image.and_then(|index| labels?.label(index)).unwrap_or_else(|| uniform(position))
    };
    (0..recipe.count as u64).map(class).collect()
}
