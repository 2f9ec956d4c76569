//! Statistics of a reference set: an `.npz` that the field's other tools read, and a sidecar with
//! its origin.
//!
//! | array | shape | content |
//! |---|---|---|
//! | `mu`, `sigma` | `[D]`, `[D, D]` | mean and covariance of the features, as in EDM's and StyleGAN's files |
//! | `mu_s`, `sigma_s` | `[S]`, `[S, S]` | the same of the spatial features, as in guided-diffusion's files |
//!
//! An `.npz` names neither its images nor its network, and a distance from the wrong reference
//! looks plausible. The sidecar `stats.npz.json` of `stats.npz` has both, and the hash of the
//! `.npz`. Files of other tools have no sidecar; for them only sizes are checked.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::npz::{self, Array, Arrays, Values};
use crate::{Error, ExtractorId, FeatureSet, Gaussian, Moments, Result, files};

/// Kind and version of the sidecar. Increase the version with the format.
const KIND: &str = "reference-statistics-v1";

/// A set of images, by name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetId {
    /// Name, with the split.
    pub name: String,
    /// Hash of the images in their order, from the data set.
    pub hash: String,
    /// Number of images.
    pub images: u64,
}

/// Origin of statistics: data set and extractor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The images.
    pub dataset: DatasetId,
    /// Extractor of their features.
    pub extractor: ExtractorId,
}

/// Means and covariances of a reference set's features.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceStats {
    /// Gaussian fitted to the features.
    pub gaussian: Gaussian,
    /// Gaussian fitted to the spatial features, if there are any.
    pub spatial: Option<Gaussian>,
    /// Origin; `None` for a file without a sidecar.
    pub origin: Option<Origin>,
}

/// Content of the sidecar.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    kind: String,
    /// BLAKE3 of the `.npz`.
    statistics: String,
    dataset: DatasetId,
    extractor: ExtractorId,
}

impl ReferenceStats {
    /// Computes the statistics of a set of features.
    ///
    /// # Errors
    ///
    /// If there are fewer than two images.
    pub fn of(features: &FeatureSet, dataset: DatasetId) -> Result<Self> {
        let gaussian = |rows| Moments::of(rows).gaussian();
        let origin = Origin { dataset, extractor: features.extractor.clone() };
        Ok(Self {
            gaussian: gaussian(&features.features)?,
            spatial: features.spatial.as_ref().map(gaussian).transpose()?,
            origin: Some(origin),
        })
    }

    /// Reads an `.npz`, and its sidecar if there is one.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be read or has no mean and covariance, or if the sidecar is of
    /// another kind or belongs to another `.npz`.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = files::read(path)?;
        let mut arrays = npz::from_bytes(&name, &bytes)?;
        let gaussian = take(&name, &mut arrays, ["mu", "sigma"])?;
        let missing = |key: &str| Error::file(&name, format!("no array `{key}`"));
        let gaussian = match gaussian {
            (Some(mean), Some(covariance)) => fit(&name, mean, covariance)?,
            (None, _) => return Err(missing("mu")),
            (_, None) => return Err(missing("sigma")),
        };
        let spatial = match take(&name, &mut arrays, ["mu_s", "sigma_s"])? {
            (Some(mean), Some(covariance)) => Some(fit(&name, mean, covariance)?),
            (None, None) => None,
            (None, _) => return Err(missing("mu_s")),
            (_, None) => return Err(missing("sigma_s")),
        };
        let origin = origin(&sidecar_path(path), &bytes)?;
        Ok(Self { gaussian, spatial, origin })
    }

    /// Writes the `.npz` and, if the origin is known, its sidecar. Each file is complete or absent;
    /// the `.npz` is written last.
    ///
    /// # Errors
    ///
    /// If a file cannot be written, or the origin is unknown and there is a sidecar.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut arrays = Arrays::new();
        put(&mut arrays, ["mu", "sigma"], &self.gaussian);
        if let Some(spatial) = &self.spatial {
            put(&mut arrays, ["mu_s", "sigma_s"], spatial);
        }
        let bytes = npz::to_bytes(&path.display().to_string(), &arrays)?;
        let sidecar_path = sidecar_path(path);
        match &self.origin {
            Some(Origin { dataset, extractor }) => {
                let sidecar = Sidecar {
                    kind: KIND.to_owned(),
                    statistics: blake3::hash(&bytes).to_hex().to_string(),
                    dataset: dataset.clone(),
                    extractor: extractor.clone(),
                };
                let json = serde_json::to_vec_pretty(&sidecar).map_err(|err| {
                    Error::file(&sidecar_path.display().to_string(), err.to_string())
                })?;
                files::write(&sidecar_path, &json)?;
            }
            None if sidecar_path.exists() => {
                let reason = "sidecar of another `.npz`, whose place is taken; move it away";
                return Err(Error::file(&sidecar_path.display().to_string(), reason));
            }
            None => (),
        }
        files::write(path, &bytes)
    }

    /// Checks the extractor, if the origin is known, and the number of features.
    ///
    /// # Errors
    ///
    /// If they differ, naming the property.
    pub fn check_extractor(&self, extractor: &ExtractorId, dim: usize) -> Result<()> {
        if let Some(origin) = &self.origin {
            extractor.check(&origin.extractor)?;
        }
        if dim == self.gaussian.dim() {
            Ok(())
        } else {
            Err(Error::Size {
                what: "features of the reference statistics",
                expected: dim,
                found: self.gaussian.dim(),
            })
        }
    }

    /// Checks the data set, if the origin is known.
    ///
    /// # Errors
    ///
    /// If it differs, naming the property.
    pub fn check_dataset(&self, dataset: &DatasetId) -> Result<()> {
        let Some(Origin { dataset: found, .. }) = &self.origin else { return Ok(()) };
        let differs =
            |what, expected: String, found: String| Err(Error::Mismatch { what, expected, found });
        if dataset.images != found.images {
            let [expected, found] = [dataset, found].map(|it| it.images.to_string());
            return differs("number of reference images", expected, found);
        }
        if dataset.hash != found.hash {
            let [expected, found] = [dataset, found].map(|it| format!("{} ({})", it.name, it.hash));
            return differs("reference data set", expected, found);
        }
        Ok(())
    }
}

/// Path of an `.npz`'s sidecar: the same name with `.json` appended.
fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Reads the origin from the sidecar; `None` if there is no sidecar.
fn origin(path: &Path, statistics: &[u8]) -> Result<Option<Origin>> {
    let bytes = match files::read(path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        bytes => bytes?,
    };
    let fault = |reason: String| Error::file(&path.display().to_string(), reason);
    let sidecar: Sidecar = serde_json::from_slice(&bytes).map_err(|err| fault(err.to_string()))?;
    if sidecar.kind != KIND {
        return Err(fault(format!("its kind is `{}`, expected `{KIND}`", sidecar.kind)));
    }
    if sidecar.statistics != blake3::hash(statistics).to_hex().as_str() {
        let reason = "it belongs to another `.npz`; make both files again";
        return Err(fault(reason.to_owned()));
    }
    Ok(Some(Origin { dataset: sidecar.dataset, extractor: sidecar.extractor }))
}

/// Values of a mean and of a covariance, each if the file has it.
type MeanAndCovariance = (Option<Vec<f64>>, Option<Vec<f64>>);

/// Removes a mean and a covariance from the arrays of a file, and checks their number of axes.
fn take(
    name: &str,
    arrays: &mut Arrays,
    [mean, covariance]: [&str; 2],
) -> Result<MeanAndCovariance> {
    let mut one = |key: &str, axes: usize| match arrays.remove(key) {
        Some(array) if array.shape.len() != axes => {
            let reason = format!("`{key}` has shape {:?}, expected {axes} axes", array.shape);
            Err(Error::file(name, reason))
        }
        array => Ok(array.map(|array| array.values.to_f64())),
    };
    Ok((one(mean, 1)?, one(covariance, 2)?))
}

fn fit(name: &str, mean: Vec<f64>, covariance: Vec<f64>) -> Result<Gaussian> {
    Gaussian::new(mean, covariance).map_err(|err| Error::file(name, err.to_string()))
}

fn put(arrays: &mut Arrays, [mean, covariance]: [&str; 2], gaussian: &Gaussian) {
    let dim = gaussian.dim();
    let array = |shape: &[usize], values: &[f64]| Array {
        shape: shape.to_vec(),
        values: Values::F64(values.to_vec()),
    };
    arrays.insert(mean.to_owned(), array(&[dim], gaussian.mean()));
    arrays.insert(covariance.to_owned(), array(&[dim, dim], gaussian.covariance()));
}
