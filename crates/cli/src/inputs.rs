//! From the words of a command line to what they name: devices, data sets, networks.

use std::{borrow::Cow, io::Read, path::Path};

use anyhow::Context;
use candle_core::Device;
use data::Dataset;
use metrics::{FeatureExtractor, FeatureNetFile, Inception};
use models::{NetworkConfig, NetworkFile, Role, sampling::Model};
use pickle::FileBytes;

use crate::{
    embedded::{self, FASHION_MNIST},
    usage::Usage,
};

/// The device of this name.
pub fn device(name: &str) -> Result<Device, Usage> {
    kernels::device::parse_device(name).map_err(|err| Usage::new("--device", err.to_string()))
}

/// The data set of this name: the embedded one, or a file or folder. The embedded name is never a
/// path; `./fashion-mnist` is. `name#A..B` selects its images A to B - 1.
pub fn dataset(name: &str) -> anyhow::Result<Dataset> {
    if let Some((name, range)) = name.rsplit_once('#').and_then(|(name, text)| {
        let (start, end) = text.split_once("..")?;
        Some((name, start.parse().ok()?..end.parse().ok()?))
    }) {
        let dataset = dataset(name)?;
        let (start, end): (usize, usize) = (range.start, range.end);
        if end <= start || dataset.len() < end {
            let reason = format!("there are images 0..{}", dataset.len());
            return Err(Usage::new(format!("{name}#{start}..{end}"), reason).into());
        }
        return Ok(dataset.select(&(start..end).collect::<Vec<_>>())?);
    }
    if name == FASHION_MNIST {
        return Ok(embedded::dataset()?);
    }
    if let Some(part) = name.strip_prefix(FASHION_MNIST).and_then(|it| it.strip_prefix('#')) {
        let reason = format!(
            "the embedded set has no part `{part}`; select its images as {FASHION_MNIST}#0..1000"
        );
        return Err(Usage::new(name, reason).into());
    }
    Dataset::open(Path::new(name)).with_context(|| format!("data `{name}`"))
}

/// The data set of this name, for a network. Images that are smaller by an even margin are padded with
/// black on all sides, as 28x28 images are for a network of 32x32.
pub fn dataset_for(network: &NetworkConfig, name: &str) -> anyhow::Result<Dataset> {
    Ok(eval::pad_to(Cow::Owned(dataset(name)?), network.img_resolution)?.into_owned())
}

/// The bytes of a network's file, or of the embedded one of this name.
pub fn bytes(name: &str) -> anyhow::Result<Vec<u8>> {
    match embedded::network(name) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => std::fs::read(name).with_context(|| {
            format!(
                "{name}: cannot read; give a file, or an embedded network: {FASHION_MNIST} or \
                 fashion-mnist-student"
            )
        }),
    }
}

/// True for an embedded network, and for a safetensors file: by its name, or by its first bytes, which
/// are the length of a JSON object. Also true for a file that cannot be read, so that its reader
/// reports the reason.
pub fn is_safetensors(name: &str) -> bool {
    let named = Path::new(name).extension().is_some_and(|it| it == "safetensors");
    if named || embedded::network(name).is_some() {
        return true;
    }
    let mut start = [0; 9];
    let read = std::fs::File::open(name).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Ok(()) => start[8] == b'{',
        Err(err) => err.kind() != std::io::ErrorKind::UnexpectedEof,
    }
}

/// The network of this name, embedded or in a file, and the hash of its bytes.
pub fn network(name: &str) -> anyhow::Result<(NetworkFile, String)> {
    let bytes = bytes(name)?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    Ok((NetworkFile::from_bytes(name, &bytes)?, hash))
}

/// A teacher's file, and the hash of its bytes.
///
/// # Errors
///
/// If the file cannot be read, or holds a generator.
pub fn teacher(name: &str) -> anyhow::Result<(NetworkFile, String)> {
    let (file, hash) = network(name)?;
    if file.role != Role::Teacher {
        let reason =
            "it is a generator, which denoises at its own noise levels alone; give a teacher";
        return Err(Usage::new(name, reason).into());
    }
    Ok((file, hash))
}

/// The network of this name on a device, ready to sample. `steps` is the number of steps for
/// an image.
///
/// # Errors
///
/// If the file is not usable, or a generator was trained for fewer steps.
pub fn model(name: &str, steps: Option<u16>, device: &Device) -> anyhow::Result<Model> {
    let (file, _) = network(name)?;
    let mut model = Model::new(file, device).map_err(|err| err.in_file(name))?;
    if let Some(steps) = steps {
        let steps = steps.into();
        if let Some(trained) = model.schedule().map(|it| it.steps)
            && trained < steps
        {
            let reason = format!(
                "{name} is a generator of {trained} {}; give at most that many, or leave out --steps",
                if trained == 1 { "step" } else { "steps" }
            );
            return Err(Usage::new("--steps", reason).into());
        }
        model.steps = steps;
    }
    Ok(model)
}

/// File that `dataset fetch inception` writes.
pub const INCEPTION: &str = "data-cache/inception/default_1.pt";

/// Folder next to Inception's file, where its features of data sets are cached.
pub fn feature_cache() -> Option<&'static Path> {
    Path::new(INCEPTION).parent()
}

/// The feature network of a file, of `inception`, or of `embedded`, which is the default.
pub fn extractor(path: Option<&Path>) -> anyhow::Result<Box<dyn FeatureExtractor>> {
    let Some(path) = path.filter(|it| it.as_os_str() != "embedded") else {
        return Ok(Box::new(embedded::extractor()?));
    };
    let path = match path.to_str() {
        Some("inception") if Path::new(INCEPTION).is_file() => Path::new(INCEPTION),
        Some("inception") => {
            let reason = format!(
                "{INCEPTION} does not exist; run `uni-instruct dataset fetch inception`, or give \
                 the path of the file"
            );
            return Err(Usage::new("--features inception", reason).into());
        }
        _ => path,
    };
    let bytes = FileBytes::read(path).map_err(models::Error::from)?;
    if Inception::is_in(&bytes) {
        return Ok(Box::new(Inception::of_file(&bytes)?));
    }
    let file = FeatureNetFile::from_bytes(path.display(), bytes.bytes())?;
    Ok(Box::new(file.extractor()?))
}

/// The text of a configuration file.
pub fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))
}

/// Parses a number of at least 0. NaN, which would switch a limit off, is an error.
pub fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|it| 0.0 <= *it);
    number.ok_or_else(|| "expected a number of at least 0".to_owned())
}
