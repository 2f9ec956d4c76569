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
