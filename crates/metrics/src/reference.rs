//! Statistics of a reference set, made once and kept in a file.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use models::TensorFile;
use serde::{Deserialize, Serialize};

use crate::metadata::{expect, json, parse, text};
use crate::npz::{self, Array, Values};
use crate::{Error, ExtractorId, Gaussian, Result};

/// What the file holds, next to networks and checkpoints. Raise its number with the format.
const KIND: &str = "reference-statistics-v1";

/// A set of images, by name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetId {
    /// What people call it, with the split.
    pub name: String,
    /// Hash of the images in their order, as the data set gives it.
    pub hash: String,
}

/// Mean and covariance of a reference set's features, and what they are of.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceStats {
    /// The fitted Gaussian.
    pub gaussian: Gaussian,
    /// Images that it was fitted to.
    pub images: u64,
    /// The images.
    pub dataset: DatasetId,
    /// What made features of them.
    pub extractor: ExtractorId,
}

impl ReferenceStats {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be read, holds something else, or no mean and covariance.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = TensorFile::load(path)?;
        let read = || -> models::Result<_> {
            expect(&file, "kind", KIND)?;
            let ids = (parse(&file, "images")?, parse(&file, "dataset")?);
            Ok((tensor(&file, "mu")?, tensor(&file, "sigma")?, ids, parse(&file, "extractor")?))
        };
        let (mean, covariance, (images, dataset), extractor) =
            read().map_err(|err| err.in_file(path.display()))?;
        let gaussian = gaussian(path, mean, covariance)?;
        Ok(Self { gaussian, images, dataset, extractor })
    }

    /// Writes the file, which appears whole or not at all.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let dim = self.gaussian.dim();
        let mean = Tensor::from_slice(self.gaussian.mean(), dim, &Device::Cpu)?;
        let covariance = Tensor::from_slice(self.gaussian.covariance(), (dim, dim), &Device::Cpu)?;
        let tensors = BTreeMap::from([("mu".to_owned(), mean), ("sigma".to_owned(), covariance)]);
        let metadata = BTreeMap::from([
            text("kind", KIND),
            json("images", &self.images)?,
            json("dataset", &self.dataset)?,
            json("extractor", &self.extractor)?,
        ]);
        Ok(TensorFile { tensors, metadata }.save(path)?)
    }

    /// Checks that these are the statistics of `dataset` under `extractor`.
    ///
    /// # Errors
    ///
    /// If not, naming what differs.
    pub fn check(&self, dataset: &DatasetId, extractor: &ExtractorId) -> Result<()> {
        extractor.check(&self.extractor)?;
        match dataset.hash == self.dataset.hash {
            true => Ok(()),
            false => Err(Error::Foreign {
                what: "reference data set",
                expected: format!("{} ({})", dataset.name, dataset.hash),
                found: format!("{} ({})", self.dataset.name, self.dataset.hash),
            }),
        }
    }
}

fn tensor(file: &TensorFile, key: &str) -> models::Result<Vec<f64>> {
    let tensor = file
        .tensors
        .get(key)
        .ok_or_else(|| models::Error::Missing { key: key.to_owned(), expected: Vec::new() })?;
    Ok(tensor.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1()?)
}

fn gaussian(path: &Path, mean: Vec<f64>, covariance: Vec<f64>) -> Result<Gaussian> {
    Gaussian::new(mean, covariance)
        .map_err(|err| Error::file(&path.display().to_string(), err.to_string()))
}

impl Gaussian {
    /// Reads `mu` `[D]` and `sigma` `[D, D]` of an `.npz`, as other tools of this field write it.
    ///
    /// Such a file does not say which extractor or images it is of: that is the caller's to know.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be read, or holds no mean and covariance.
    pub fn read_npz(path: &Path) -> Result<Self> {
        let mut arrays = npz::read(path)?;
        let mut take = |key: &str| {
            let missing = || Error::file(&path.display().to_string(), format!("no array `{key}`"));
            arrays.remove(key).map(|array| array.values.to_f64()).ok_or_else(missing)
        };
        gaussian(path, take("mu")?, take("sigma")?)
    }

    /// Writes an `.npz` with `mu` and `sigma` in f64.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write_npz(&self, path: &Path) -> Result<()> {
        let dim = self.dim();
        let array = |shape: &[usize], values: &[f64]| Array {
            shape: shape.to_vec(),
            values: Values::F64(values.to_vec()),
        };
        let arrays = npz::Arrays::from([
            ("mu".to_owned(), array(&[dim], self.mean())),
            ("sigma".to_owned(), array(&[dim, dim], self.covariance())),
        ]);
        npz::write(path, &arrays)
    }
}
