//! Features of data sets, kept between evaluations where they take minutes to compute.

use std::path::{Path, PathBuf};

use candle_core::Device;
use data::Dataset;
use metrics::{
    ExtractorId, FeatureExtractor, FeatureSet, Inception, Matrix,
    npz::{self, Array, Arrays, Values},
};

use crate::{BATCH, Error, Event, OnEvent, Result};

/// Features of a data set.
///
/// `cache` is the folder that keeps the features of Inception, if it exists; other networks are fast
/// enough. An unusable cache is an [`Event`], not an error. `set` names the images in errors and
/// events.
///
/// # Errors
///
/// If the images do not fit the network.
pub fn features(
    set: &'static str,
    dataset: &Dataset,
    extractor: &dyn FeatureExtractor,
    cache: Option<&Path>,
    device: &Device,
    progress: &mut OnEvent<'_>,
) -> Result<FeatureSet> {
    let id = ExtractorId::of(extractor);
    let path = cache.and_then(|folder| path(folder, dataset, &id));
    if let Some(found) = path.as_deref().and_then(|path| read(path, dataset, &id, progress)) {
        return Ok(found);
    }
    let found = compute(set, dataset, extractor, device, progress)
        .map_err(|source| Error::Features { set, source: Box::new(source) })?;
    if let Some(path) = path
        && let Err(err) = npz::write(&path, &arrays(&found))
    {
        progress(Event::CacheNotWritten(&err));
    }
    Ok(found)
}

fn compute(
    step: &'static str,
    dataset: &Dataset,
    extractor: &dyn FeatureExtractor,
    device: &Device,
    progress: &mut OnEvent<'_>,
) -> Result<FeatureSet> {
    let count = dataset.len();
    let batches = (0..count).step_by(BATCH).map(|start| -> Result<_> {
        progress(Event::Progress { step, done: start as u64, total: count as u64 });
        let indices: Vec<usize> = (start..(start + BATCH).min(count)).collect();
        Ok(dataset.batch(&indices, device)?.images)
    });
    FeatureSet::collect(extractor, batches)
}

/// File of these features, named by the content of the images and of the network; `None` where they
/// are not kept.
fn path(folder: &Path, dataset: &Dataset, id: &ExtractorId) -> Option<PathBuf> {
    let kept = id.name == Inception::NAME && folder.is_dir();
    kept.then(|| {
        let text = [&dataset.content_hash(), &id.hash, &id.resize].map(String::as_str).join(" ");
        let hash = blake3::hash(text.as_bytes()).to_hex();
        folder.join(format!("features-{}.npz", &hash[..32]))
    })
}

/// Features in a file, if it is complete and has one row per image.
fn read(
    path: &Path,
    dataset: &Dataset,
    id: &ExtractorId,
    progress: &mut OnEvent<'_>,
) -> Option<FeatureSet> {
    if !path.exists() {
        return None;
    }
    let found = npz::read(path).and_then(|mut arrays| {
        let mut take = |key: &'static str| match arrays.remove(key) {
            Some(Array { shape, values: Values::F32(values) }) if shape.len() == 2 => {
                Matrix::new(key, values, shape[1]).map(Some)
            }
            _ => Ok(None),
        };
        Ok((take("features")?, take("spatial")?, take("logits")?))
    });
    match found {
        Ok((Some(features), spatial, logits)) if features.len() == dataset.len() => {
            Some(FeatureSet { features, spatial, logits, extractor: id.clone() })
        }
        Ok(_) => None,
        Err(err) => {
            progress(Event::CacheNotRead(&err));
            None
        }
    }
}

fn arrays(set: &FeatureSet) -> Arrays {
    let sets = [("features", Some(&set.features)), ("spatial", set.spatial.as_ref())];
    let sets = sets.into_iter().chain([("logits", set.logits.as_ref())]);
    let array = |rows: &Matrix| Array {
        shape: vec![rows.len(), rows.dim()],
        values: Values::F32(rows.values().to_vec()),
    };
    sets.filter_map(|(name, rows)| Some((name.to_owned(), array(rows?)))).collect()
}

#[cfg(test)]
mod tests {
    use data::Labels;

    use super::*;

    #[test]
    fn kept_features_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.npz");
        let dataset = |count: usize| {
            Dataset::new("test", [1, 2, 2], vec![7; 4 * count], Labels::None).unwrap()
        };
        let [name, hash, resize] = ["net", "1", "none"].map(str::to_owned);
        let id = ExtractorId { name, hash, resize };
        let rows = |values: &[f32]| Matrix::new("test", values.to_vec(), 3).unwrap();
        let features = rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let spatial = Some(rows(&[0.5; 6]));
        let set = FeatureSet { features, spatial, logits: None, extractor: id.clone() };
        let mut events = 0;
        let mut found = |count| read(&path, &dataset(count), &id, &mut |_| events += 1);
        assert_eq!(found(2), None);
        npz::write(&path, &arrays(&set)).unwrap();
        assert_eq!(found(2), Some(set));
        assert_eq!(found(3), None, "another number of images");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert_eq!(found(2), None, "a damaged file");
        assert_eq!(events, 1, "only the damage is reported");
    }
}
