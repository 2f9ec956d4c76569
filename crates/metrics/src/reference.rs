//! Statistics of a reference set, made once and kept: an `.npz` that the field's other tools read,
//! and beside it what it is of.
//!
//! | array | shape | |
//! |---|---|---|
//! | `mu`, `sigma` | `[D]`, `[D, D]` | of the features, as in EDM's and StyleGAN's files |
//! | `mu_s`, `sigma_s` | `[S]`, `[S, S]` | of the spatial features, as in guided-diffusion's files |
//!
//! An `.npz` does not say which images or which network it is of, and a distance from the wrong ones
//! looks like any other. So `stats.npz` has a `stats.npz.json` beside it, which says both, and the
//! hash of the `.npz` that it belongs to. Files from elsewhere have none: then only sizes are checked.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::npz::{self, Array, Arrays, Values};
use crate::{Error, ExtractorId, FeatureSet, Gaussian, Moments, Result, files};

/// What the file beside says that it is. Raise its number with the format.
const KIND: &str = "reference-statistics-v1";

/// A set of images, by name and content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetId {
    /// What people call it, with the split.
    pub name: String,
    /// Hash of the images in their order, as the data set gives it.
    pub hash: String,
    /// How many images.
    pub images: u64,
}

/// What statistics are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The images.
    pub dataset: DatasetId,
    /// What made features of them.
    pub extractor: ExtractorId,
}

/// Means and covariances of a reference set's features.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceStats {
    /// The Gaussian fitted to the features.
    pub gaussian: Gaussian,
    /// The one fitted to the spatial features, where there are any.
    pub spatial: Option<Gaussian>,
    /// What they are of; `None` for a file from elsewhere, which does not say.
    pub origin: Option<Origin>,
}

/// The file beside.
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
    /// The statistics of a set of features.
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

    /// Reads an `.npz`, and the file beside it if there is one.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be read or holds no mean and covariance, or if the file beside
    /// it is of another kind or of another `.npz`.
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

    /// Writes the `.npz` and, where it is known what the statistics are of, the file beside it. Each
    /// appears whole or not at all, the `.npz` last.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut arrays = Arrays::new();
        put(&mut arrays, ["mu", "sigma"], &self.gaussian);
        if let Some(spatial) = &self.spatial {
            put(&mut arrays, ["mu_s", "sigma_s"], spatial);
        }
        let bytes = npz::to_bytes(&path.display().to_string(), &arrays)?;
        let beside = sidecar_path(path);
        match &self.origin {
            Some(Origin { dataset, extractor }) => {
                let sidecar = Sidecar {
                    kind: KIND.to_owned(),
                    statistics: blake3::hash(&bytes).to_hex().to_string(),
                    dataset: dataset.clone(),
                    extractor: extractor.clone(),
                };
                let json = serde_json::to_vec_pretty(&sidecar)
                    .map_err(|err| Error::file(&beside.display().to_string(), err.to_string()))?;
                files::write(&beside, &json)?;
            }
            None if beside.exists() => {
                let reason = "it is beside a file of unknown origin: move it away";
                return Err(Error::file(&beside.display().to_string(), reason));
            }
            None => (),
        }
        files::write(path, &bytes)
    }

    /// Checks that these are of features of `extractor`, as far as the statistics say.
    ///
    /// # Errors
    ///
    /// If not, naming what differs.
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

    /// Checks that these are of the images of `dataset`, as far as the statistics say.
    ///
    /// # Errors
    ///
    /// If not, naming what differs.
    pub fn check_dataset(&self, dataset: &DatasetId) -> Result<()> {
        let Some(Origin { dataset: found, .. }) = &self.origin else { return Ok(()) };
        let differs =
            |what, expected: String, found: String| Err(Error::Foreign { what, expected, found });
        match () {
            () if dataset.images != found.images => {
                let (ours, theirs) = (dataset.images.to_string(), found.images.to_string());
                differs("number of reference images", ours, theirs)
            }
            () if dataset.hash != found.hash => {
                let say = |it: &DatasetId| format!("{} ({})", it.name, it.hash);
                differs("reference data set", say(dataset), say(found))
            }
            () => Ok(()),
        }
    }
}

/// Where the file beside an `.npz` is: the same name with `.json` after it.
fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// What the file beside says; `None` if there is no such file.
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
        let reason = "it belongs to another .npz than the one beside it; make the two anew";
        return Err(fault(reason.to_owned()));
    }
    Ok(Some(Origin { dataset: sidecar.dataset, extractor: sidecar.extractor }))
}

type Taken = (Option<Vec<f64>>, Option<Vec<f64>>);

/// A mean and a covariance, whose shapes are checked.
fn take(name: &str, arrays: &mut Arrays, [mean, covariance]: [&str; 2]) -> Result<Taken> {
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
