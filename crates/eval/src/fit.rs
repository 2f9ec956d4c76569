//! Checks that sets of images fit the networks that read them, and padding that makes them fit.

use std::borrow::Cow;

use data::Dataset;
use metrics::{DatasetId, FeatureExtractor};
use models::sampling::MAX_COUNT;

use crate::{Error, Result};

/// Fewest images that every metric can be computed from: a neighborhood and its center.
pub const FEWEST: usize = metrics::NEIGHBORS + 1;

/// Checks that `count` images are enough for all metrics, and not too many. `name` identifies them in the error.
///
/// # Errors
///
/// If there are fewer than [`FEWEST`], or more than [`MAX_COUNT`].
pub fn check_count(name: &str, count: usize) -> Result<()> {
    if count < FEWEST {
        return Err(Error::TooFew { name: name.to_owned(), found: count, needed: FEWEST });
    }
    if MAX_COUNT < count {
        return Err(Error::TooMany { name: name.to_owned(), found: count, most: MAX_COUNT });
    }
    Ok(())
}

/// Checks that a feature network accepts images of this shape, `[C, H, W]`.
///
/// # Errors
///
/// If it requires another shape.
pub fn check_shape(extractor: &dyn FeatureExtractor, shape: [usize; 3]) -> Result<()> {
    match extractor.image_shape() {
        Some(required) if required != shape => Err(Error::ImageShape {
            extractor: extractor.name().to_owned(),
            required,
            found: shape,
        }),
        _ => Ok(()),
    }
}

/// Images padded with black to `side` pixels. Images that are not smaller by an even margin stay as
/// they are.
///
/// # Errors
///
/// If the result would be larger than a data set may be.
pub fn pad_to(dataset: Cow<'_, Dataset>, side: usize) -> Result<Cow<'_, Dataset>> {
    let [_, height, _] = dataset.shape();
    Ok(match side.checked_sub(height) {
        Some(margin) if margin != 0 && margin % 2 == 0 => Cow::Owned(dataset.pad(margin / 2)?),
        _ => dataset,
    })
}

/// Images padded to the size that the feature network requires, if it requires one.
///
/// # Errors
///
/// If the result would be larger than a data set may be.
pub fn pad_for<'a>(
    extractor: &dyn FeatureExtractor,
    dataset: Cow<'a, Dataset>,
) -> Result<Cow<'a, Dataset>> {
    match extractor.image_shape() {
        Some([_, side, _]) => pad_to(dataset, side),
        None => Ok(dataset),
    }
}

/// Identity of a data set, for the provenance of its statistics.
pub fn dataset_id(name: &str, dataset: &Dataset) -> DatasetId {
    let (name, hash) = (name.to_owned(), dataset.content_hash());
    DatasetId { name, hash, images: dataset.len() as u64 }
}
