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

    /// How it brings images to the size that it works at, in words; figures of the same network under
    /// another way of resizing are other figures.
    fn resize(&self) -> &str {
        "none"
    }

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
    /// Features that still know where in the image they are, `[B, S]`, where the extractor has them.
    pub spatial: Option<Tensor>,
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
    /// [`FeatureExtractor::resize`].
    pub resize: String,
}

impl ExtractorId {
    /// The identity of an extractor.
    pub fn of(extractor: &dyn FeatureExtractor) -> Self {
        let [name, hash, resize] =
            [extractor.name(), extractor.hash(), extractor.resize()].map(str::to_owned);
        Self { name, hash, resize }
    }

    /// Checks that `found` is the same extractor.
    ///
    /// # Errors
    ///
    /// If name, hash or way of resizing differ, saying which.
    pub fn check(&self, found: &Self) -> Result<()> {
        let pairs = [
            ("feature extractor", &self.name, &found.name),
            ("hash of the feature extractor", &self.hash, &found.hash),
            ("resize of the feature extractor", &self.resize, &found.resize),
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
    /// Spatial features, `[N, S]`, where the extractor has them.
    pub spatial: Option<Rows>,
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
        let mut features = Column::new("features");
        let mut spatial = Column::new("spatial features");
        let mut logits = Column::new("class logits");
        let mut images = 0;
        for batch in batches {
            let batch = batch?;
            images += batch.dims().first().copied().unwrap_or(0);
            let extracted = extractor.extract(&batch)?;
            features.append(Some(&extracted.features))?;
            size("features of an image", extractor.dim(), features.dim)?;
            spatial.append(extracted.spatial.as_ref())?;
            logits.append(extracted.logits.as_ref())?;
        }
        at_least("features", 1, images)?;
        let features = features.rows(images)?.ok_or(Error::Size {
            what: "images with features",
            expected: images,
            found: 0,
        })?;
        let (spatial, logits) = (spatial.rows(images)?, logits.rows(images)?);
        Ok(Self { features, spatial, logits, extractor: ExtractorId::of(extractor) })
    }
}

/// One output of an extractor, batch after batch.
struct Column {
    what: &'static str,
    values: Vec<f32>,
    dim: usize,
}

impl Column {
    fn new(what: &'static str) -> Self {
        Self { what, values: Vec::new(), dim: 0 }
    }

    /// Appends the rows of `[B, D]`, if there are any.
    fn append(&mut self, rows: Option<&Tensor>) -> Result<()> {
        let Some(rows) = rows else { return Ok(()) };
        self.dim = rows.dims2()?.1;
        let rows = rows.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        self.values.extend(rows.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    /// A row for each image; `None` if there is none at all.
    fn rows(self, images: usize) -> Result<Option<Rows>> {
        if self.dim == 0 {
            return Ok(None);
        }
        let rows = Rows::new(self.what, self.values, self.dim)?;
        size(self.what, images, rows.len())?;
        Ok(Some(rows))
    }
}

fn size(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Size { what, expected, found }) }
}
