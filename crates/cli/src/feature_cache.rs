//! Features of images that are there already, kept from one measurement to the next where they take minutes to make.

use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use data::Dataset;
use metrics::{
    ExtractorId, FeatureExtractor, FeatureSet, Matrix,
    npz::{self, Array, Arrays, Values},
};

use train::{
    evaluate,
    events::{Event, Sink},
};

use crate::{console::Console, inputs, output::note};

/// Images in one forward pass.
const BATCH: usize = 100;

/// Features of a data set: from the cache if they are there, else made, and kept if the network is
/// that of FID and its file is where `dataset fetch` leaves it, beside which the cache is.
///
/// # Errors
///
/// If the images do not fit the network. A cache that cannot be read or written is no error.
pub fn features(
    what: &'static str,
    dataset: &Dataset,
    extractor: &dyn FeatureExtractor,
    device: &Device,
) -> anyhow::Result<FeatureSet> {
    let id = ExtractorId::of(extractor);
    let path = path(dataset, &id);
    if let Some(found) = path.as_deref().and_then(|path| read(path, dataset, &id)) {
        return Ok(found);
    }
    let found =
        made(what, dataset, extractor, device).with_context(|| format!("features of {what}"))?;
    if let Some(path) = path
        && let Err(err) = npz::write(&path, &arrays(&found))
    {
        note!("features are not kept: {err:#}");
    }
    Ok(found)
}

/// Features of a data set, with progress on the console.
fn made(
    what: &'static str,
    dataset: &Dataset,
    extractor: &dyn FeatureExtractor,
    device: &Device,
) -> Result<FeatureSet, train::Error> {
    let mut console = Console::new();
    let total = dataset.len() as u64;
    evaluate::features(dataset, BATCH, extractor, device, |done| {
        console.emit(&Event::Preparing { what, done, total })
    })
}

/// Where features of these images are kept: a name that no other images or network have.
fn path(dataset: &Dataset, id: &ExtractorId) -> Option<PathBuf> {
    let folder = Path::new(inputs::INCEPTION).parent()?;
    let kept = id.name == metrics::Inception::NAME && folder.is_dir();
    kept.then(|| {
        let text = [&dataset.content_hash(), &id.hash, &id.resize].map(String::as_str).join(" ");
        let hash = blake3::hash(text.as_bytes()).to_hex();
        folder.join(format!("features-{}.npz", &hash[..32]))
    })
}

/// What is kept there, if it is whole and of as many images.
fn read(path: &Path, dataset: &Dataset, id: &ExtractorId) -> Option<FeatureSet> {
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
            note!("features are made anew: {err:#}");
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
    use super::*;

    #[test]
    fn what_is_kept_comes_back_or_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.npz");
        let dataset = inputs::dataset("fashion-mnist#0..2").unwrap();
        let [name, hash, resize] = ["net", "1", "none"].map(str::to_owned);
        let id = ExtractorId { name, hash, resize };
        let rows = |values: &[f32]| Matrix::new("test", values.to_vec(), 3).unwrap();
        let features = rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let spatial = Some(rows(&[0.5; 6]));
        let set = FeatureSet { features, spatial, logits: None, extractor: id.clone() };
        assert_eq!(read(&path, &dataset, &id), None);
        npz::write(&path, &arrays(&set)).unwrap();
        assert_eq!(read(&path, &dataset, &id), Some(set));
        let more = inputs::dataset("fashion-mnist#0..3").unwrap();
        assert_eq!(read(&path, &more, &id), None, "features of another number of images");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert_eq!(read(&path, &dataset, &id), None, "a damaged file");
    }
}
