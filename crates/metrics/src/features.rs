//! Features of images, computed once for all metrics.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::matrix::at_least;
use crate::{Error, Matrix, Result};

/// A network that maps images to features.
///
/// An implementation returns one row for each image, a function of the image alone, and identifies
/// itself by a hash: metrics of extractors with different hashes are never compared.
pub trait FeatureExtractor {
    /// Name, as in reports.
    fn name(&self) -> &str;

    /// Hash of everything that the features depend on, weights above all.
    fn hash(&self) -> &str;

    /// Number of features, `D`.
    fn dim(&self) -> usize;

    /// Shape of accepted images, `[C, H, W]`; `None` if any shape is accepted.
    fn image_shape(&self) -> Option<[usize; 3]>;

    /// Description of the resize to the network's input, or `none`. Another resize changes the
    /// metrics.
    fn resize(&self) -> &str {
        "none"
    }

    /// Computes the features of a batch.
    ///
    /// # Shapes
    ///
    /// - `images`: `[B, C, H, W]`, in [-1, 1]
    ///
    /// # Errors
    ///
    /// If the network does not accept the shape of the images.
    fn extract(&self, images: &Tensor) -> Result<Extracted>;
}

/// Output of an extractor for a batch.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// Features, `[B, D]`.
    pub features: Tensor,
    /// Features that depend on the position in the image, `[B, S]`, if the extractor has them.
    pub spatial: Option<Tensor>,
    /// Class logits `[B, K]`, if the extractor is a classifier.
    pub logits: Option<Tensor>,
}

/// Identity of an extractor.
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
    /// Reads the identity of an extractor.
    pub fn of(extractor: &dyn FeatureExtractor) -> Self {
        let [name, hash, resize] =
            [extractor.name(), extractor.hash(), extractor.resize()].map(str::to_owned);
        Self { name, hash, resize }
    }

    /// Checks that `found` is the same extractor.
    ///
    /// # Errors
    ///
    /// If name, hash or resize differ; the error names which.
    pub fn check(&self, found: &Self) -> Result<()> {
        let pairs = [
            ("feature extractor", &self.name, &found.name),
            ("hash of the feature extractor", &self.hash, &found.hash),
            ("resize of the feature extractor", &self.resize, &found.resize),
        ];
        match pairs.into_iter().find(|(_, expected, found)| expected != found) {
            Some((what, expected, found)) => {
                Err(Error::Mismatch { what, expected: expected.clone(), found: found.clone() })
            }
            None => Ok(()),
        }
    }
}

/// Features of a set of images, and their extractor.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSet {
    /// Features, `[N, D]`, in the order of the images.
    pub features: Matrix,
    /// Spatial features, `[N, S]`, if the extractor has them.
    pub spatial: Option<Matrix>,
    /// Class logits, `[N, K]`, if the extractor is a classifier.
    pub logits: Option<Matrix>,
    /// Extractor of the features.
    pub extractor: ExtractorId,
}

impl FeatureSet {
    /// Runs the extractor over batches of images `[B, C, H, W]` in [-1, 1].
    ///
    /// The batches may come from an iterator that fails with the caller's error type.
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

/// One output of an extractor, joined over batches.
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

    /// Returns one row for each image; `None` if the extractor has no such output.
    fn rows(self, images: usize) -> Result<Option<Matrix>> {
        if self.dim == 0 {
            return Ok(None);
        }
        let rows = Matrix::new(self.what, self.values, self.dim)?;
        size(self.what, images, rows.len())?;
        Ok(Some(rows))
    }
}

fn size(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Size { what, expected, found }) }
}
