//! Placeholders for a missing teacher and missing images, for smoke tests.

use data::{Dataset, Labels};
use models::{NetworkConfig, NetworkFile, Provenance, Role};

use crate::{
    Error,
    config::streams::{Use, stream},
};

/// Number of placeholder images: more than a smoke test shows.
const IMAGES: usize = 64;

/// A teacher of this network with random initial weights.
///
/// # Errors
///
/// If the network's options are out of range.
pub fn teacher(config: &NetworkConfig, seed: u64) -> Result<NetworkFile, Error> {
    let params = config.init(seed)?;
    let entries = [("licence".to_owned(), "none: random weights".to_owned())].into();
    Ok(NetworkFile {
        config: config.clone(),
        params,
        role: Role::Teacher,
        provenance: Provenance { entries },
    })
}

/// Images of noise that fit this network, with random classes if it is conditional.
///
/// # Errors
///
/// If no data set can hold images of the network's shape.
pub fn images(config: &NetworkConfig, seed: u64) -> Result<Dataset, Error> {
    let shape = [config.img_channels, config.img_resolution, config.img_resolution];
    let (pixels, classes) =
        (stream(seed, Use::PlaceholderPixel), stream(seed, Use::PlaceholderLabel));
    let size: usize = shape.iter().product();
    let of_image = |image| (0..size as u32).map(move |at| pixels.below(image, at, 256) as u8);
    let bytes = (0..IMAGES as u64).flat_map(of_image).collect();
    let labels = match config.label_dim {
        0 => Labels::None,
        k => {
            let of_image =
                (0..IMAGES as u64).map(|it| crate::labels::class_at(&classes, it, k)).collect();
            Labels::Classes { classes: k, of_image }
        }
    };
    Ok(Dataset::new("images of noise", shape, bytes, labels)?)
}
