//! From images to features, once, for every figure.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::rows::at_least;
use crate::{Error, Result, Rows};

/// A network that turns images into features.
///
/// An implementor gives a row of numbers an image, always the same for the same image, and tells
/// who it is: figures of extractors with different hashes are never compared.
pub trait FeatureExtractor {
    /// Its name, as reports print it.
    fn name(&self) -> &str;

    /// A hash of everything that its features depend on, weights above all.
    fn hash(&self) -> &str;

    /// Features an image, `D`.
    fn dim(&self) -> usize;

    /// The images that it takes, `[C, H, W]`; `None` if it takes any.
    fn image_shape(&self) -> Option<[usize; 3]>;

    /// The features of a batch.
    ///
    /// # Shapes
    ///
    /// - `images`: `[B, C, H, W]`, in [-1, 1]
    ///
    /// # Errors
    ///
    /// If the images are not of the shape that the network takes.
    fn extract(&self, images: &Tensor) -> Result<Extracted>;
}

/// What an extractor gives for a batch.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// Features, `[B, D]`.
    pub features: Tensor,
    /// Class logits `[B, K]`, where the extractor is a classifier.
    pub logits: Option<Tensor>,
}

/// Who made features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractorId {
    /// [`FeatureExtractor::name`].
    pub name: String,
    /// [`FeatureExtractor::hash`].
    pub hash: String,
}

impl ExtractorId {
    /// The identity of an extractor.
    pub fn of(extractor: &dyn FeatureExtractor) -> Self {
        Self { name: extractor.name().to_owned(), hash: extractor.hash().to_owned() }
    }

    /// Checks that `found` is the same extractor.
    ///
    /// # Errors
    ///
    /// If name or hash differ, saying which.
    pub fn check(&self, found: &Self) -> Result<()> {
        let pairs = [
            ("feature extractor", &self.name, &found.name),
            ("hash of the feature extractor", &self.hash, &found.hash),
        ];
        match pairs.into_iter().find(|(_, expected, found)| expected != found) {
            Some((what, expected, found)) => {
                Err(Error::Foreign { what, expected: expected.clone(), found: found.clone() })
            }
            None => Ok(()),
        }
    }
}

/// The features of a whole set of images, and who made them.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSet {
    /// Features, `[N, D]`, in the order of the images.
    pub features: Rows,
    /// Class logits, `[N, K]`, where the extractor is a classifier.
    pub logits: Option<Rows>,
    /// Who made them.
    pub extractor: ExtractorId,
}

impl FeatureSet {
    /// Runs the extractor over batches of images `[B, C, H, W]` in [-1, 1].
    ///
    /// The batches may come from anything that can fail with the caller's own error.
    ///
    /// # Errors
    ///
    /// If a batch fails, there is no image, an image does not fit the extractor, or a feature is
    /// not finite.
    pub fn collect<E: From<Error>>(
        extractor: &dyn FeatureExtractor,
        batches: impl IntoIterator<Item = Result<Tensor, E>>,
    ) -> Result<Self, E> {
        let mut features = Vec::new();
        let mut logits: Option<(Vec<f32>, usize)> = None;
        let mut images = 0;
        for batch in batches {
            let batch = batch?;
            images += batch.dims().first().copied().unwrap_or(0);
            let extracted = extractor.extract(&batch)?;
            let dim = append(&mut features, &extracted.features)?;
            size("features of an image", extractor.dim(), dim)?;
            if let Some(found) = extracted.logits {
                let (values, classes) = logits.get_or_insert_default();
                *classes = append(values, &found)?;
            }
        }
        at_least("features", 1, images)?;
        let features = Rows::new("features", features, extractor.dim())?;
        size("images with features", images, features.len())?;
        let logits = match logits {
            Some((values, classes)) => {
                let logits = Rows::new("class logits", values, classes)?;
                size("images with logits", images, logits.len())?;
                Some(logits)
            }
            None => None,
        };
        Ok(Self { features, logits, extractor: ExtractorId::of(extractor) })
    }
}

/// Appends the rows of `[B, D]` to `values`; returns D.
fn append(values: &mut Vec<f32>, rows: &Tensor) -> Result<usize> {
    let (_, dim) = rows.dims2()?;
    let rows = rows.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    values.extend(rows.flatten_all()?.to_vec1::<f32>()?);
    Ok(dim)
}

fn size(what: &'static str, expected: usize, found: usize) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Size { what, expected, found }),
    }
}
