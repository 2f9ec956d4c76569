//! What a verb is given: files, names of embedded things, devices, signals.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::{Context, bail};
use candle_core::Device;
use data::Dataset;
use metrics::{FeatureNetFile, TrainedFeatureNet};
use models::{NetworkConfig, NetworkFile};
use signal_hook::consts::{SIGINT, SIGTERM};
use train::{
    events::{Event, JsonLines, Sink},
    run::{self, Ending, Job, Limits},
};

use crate::{console::Console, exit::Interrupted};

/// What the embedded data set is called.
pub const FASHION_MNIST: &str = "fashion-mnist";

/// Fashion-MNIST's 10,000 test images and their classes.
const T10K: [&[u8]; 2] = [
    include_bytes!("../../../assets/fashion-mnist/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../../../assets/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
];

/// A class-conditional DDPM++ of Fashion-MNIST.
const TEACHER: &[u8] = include_bytes!("../../../assets/fashion-mnist-teacher.safetensors");
/// A classifier of Fashion-MNIST.
const FEATURES: &[u8] = include_bytes!("../../../assets/fashion-mnist-features.safetensors");

/// The device of this name.
pub fn device(name: &str) -> anyhow::Result<Device> {
    models::ops::device::parse_device(name).with_context(|| format!("--device {name}"))
}

/// The data set of this name: an embedded one, or a file or folder.
pub fn dataset(name: &str) -> anyhow::Result<Dataset> {
    if name == FASHION_MNIST && !Path::new(name).exists() {
        return Ok(Dataset::from_idx_bytes(T10K[0], T10K[1])?);
    }
    Dataset::open(Path::new(name)).with_context(|| format!("data `{name}`"))
}

/// The data set of this name, for a network: images that are smaller by an even margin are padded
/// with black on all sides, as 28x28 images are for a network of 32x32.
pub fn dataset_for(network: &NetworkConfig, name: &str) -> anyhow::Result<Dataset> {
    let dataset = dataset(name)?;
    let [_, height, _] = dataset.shape();
    match network.img_resolution.checked_sub(height) {
        Some(margin) if margin % 2 == 0 => Ok(dataset.pad(margin / 2)?),
        _ => Ok(dataset),
    }
}

/// A network's file and the hash of its bytes.
pub fn network(name: &str) -> anyhow::Result<(NetworkFile, String)> {
    let bytes = match name == FASHION_MNIST && !Path::new(name).exists() {
        true => TEACHER.to_vec(),
        false => std::fs::read(name).with_context(|| format!("{name}: cannot read"))?,
    };
    let hash = blake3::hash(&bytes).to_hex().to_string();
    Ok((NetworkFile::from_bytes(name, &bytes)?, hash))
}

/// The network that metrics look through: the embedded one, or that of a file.
pub fn extractor(path: Option<&Path>) -> anyhow::Result<TrainedFeatureNet> {
    let file = match path {
        Some(path) => FeatureNetFile::load(path)?,
        None => FeatureNetFile::from_bytes("the embedded feature network", FEATURES)?,
    };
    Ok(file.extractor()?)
}

/// The text of a configuration file.
pub fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))
}

/// Creates the folder of a run, and keeps the configuration that it runs under beside it.
pub fn run_folder(folder: &Path, config: &str) -> anyhow::Result<()> {
    let fault = || format!("{}: cannot write the run's folder", folder.display());
    std::fs::create_dir_all(folder).with_context(fault)?;
    std::fs::write(folder.join("config.resolved.toml"), config).with_context(fault)
}

/// Runs a job in its folder until it is over, or a signal stops it.
pub fn run_job(job: &mut dyn Job, folder: &Path, minutes: Option<f64>) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM] {
        signal_hook::flag::register(number, stop.clone())?;
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
    }
    let stats = JsonLines::append(&folder.join("stats.jsonl"))?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(Console::new()), Box::new(stats)];
    let limits = Limits { stop: &stop, seconds: minutes.map(|minutes| 60.0 * minutes) };
    match run::run(job, folder, &mut sinks, &limits)? {
        Ending::Finished => Ok(()),
        Ending::Interrupted => {
            let signal = signal.load(Ordering::Relaxed) as u8;
            bail!(Interrupted { signal, advice: "the same command goes on from there".into() })
        }
    }
}

/// Reports preparations on the console.
pub fn prepare(what: &'static str) -> impl FnMut(u64, u64) -> Result<(), train::Error> {
    let mut console = Console::new();
    move |done, total| console.emit(&Event::Preparing { what, done, total })
}
