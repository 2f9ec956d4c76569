//! What a verb is given: files, names of embedded things, devices, signals.

use std::{
    io::Read,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::{Context, bail};
use candle_core::Device;
use data::Dataset;
use metrics::{FeatureExtractor, FeatureNetFile, Inception, TrainedFeatureNet};
use models::{NetworkConfig, NetworkFile, Role};
use pickle::FileBytes;
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

/// A classifier of Fashion-MNIST.
const FEATURES: &[u8] =
    include_bytes!("../../../assets/fashion-mnist-features/network.safetensors");

/// Networks that come with the program: a class-conditional DDPM++ of Fashion-MNIST, the one-step
/// generator that the preset `fashion-mnist-full` made of it, and what figures look through.
const NETWORKS: [(&str, &[u8]); 3] = [
    ("fashion-mnist-features", FEATURES),
    (FASHION_MNIST, include_bytes!("../../../assets/fashion-mnist-teacher/network.safetensors")),
    (
        "fashion-mnist-student",
        include_bytes!("../../../assets/fashion-mnist-student/network.safetensors"),
    ),
];

/// The device of this name.
pub fn device(name: &str) -> anyhow::Result<Device> {
    kernels::device::parse_device(name)
        .map_err(|err| train::Error::unusable("--device", err.to_string()).into())
}

/// The data set of this name: an embedded one, or a file or folder. An embedded name is never a
/// path; `./fashion-mnist` is. `name#A..B` are its images A to B - 1.
pub fn dataset(name: &str) -> anyhow::Result<Dataset> {
    if let Some((name, range)) = name.rsplit_once('#').and_then(|(name, text)| {
        let (start, end) = text.split_once("..")?;
        Some((name, start.parse().ok()?..end.parse().ok()?))
    }) {
        let dataset = dataset(name)?;
        let (start, end): (usize, usize) = (range.start, range.end);
        if end <= start || dataset.len() < end {
            let reason = format!("there are images 0..{}", dataset.len());
            return Err(train::Error::unusable(format!("{name}#{start}..{end}"), reason).into());
        }
        return Ok(dataset.select(&(start..end).collect::<Vec<_>>())?);
    }
    if name == FASHION_MNIST {
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

/// Whether a network of this name comes with the program.
pub fn is_embedded(name: &str) -> bool {
    NETWORKS.iter().any(|(embedded, _)| *embedded == name)
}

/// The bytes of a network's file, or of the embedded one of this name.
pub fn bytes(name: &str) -> anyhow::Result<Vec<u8>> {
    Ok(match NETWORKS.iter().find(|(embedded, _)| *embedded == name) {
        Some((_, bytes)) => bytes.to_vec(),
        None => std::fs::read(name).with_context(|| format!("{name}: cannot read"))?,
    })
}

/// Whether it is an embedded network or a safetensors file, by its name or because it begins as they
/// alone do, with the length of a JSON object. A file that cannot be read counts as one, so that
/// whoever reads it says why.
pub fn is_ours(name: &str) -> bool {
    let named = Path::new(name).extension().is_some_and(|it| it == "safetensors");
    if named || is_embedded(name) {
        return true;
    }
    let mut start = [0; 9];
    let read = std::fs::File::open(name).and_then(|mut file| file.read_exact(&mut start));
    match read {
        Ok(()) => start[8] == b'{',
        Err(err) => err.kind() != std::io::ErrorKind::UnexpectedEof,
    }
}

/// The network of this name, an embedded one or that of a file, and the hash of its bytes.
pub fn network(name: &str) -> anyhow::Result<(NetworkFile, String)> {
    let bytes = bytes(name)?;
    let hash = blake3::hash(&bytes).to_hex().to_string();
    Ok((NetworkFile::from_bytes(name, &bytes)?, hash))
}

/// A teacher's file and the hash of its bytes.
///
/// # Errors
///
/// If the file cannot be read, or holds a one-step generator.
pub fn teacher(name: &str) -> anyhow::Result<(NetworkFile, String)> {
    let (file, hash) = network(name)?;
    if file.role != Role::Teacher {
        let reason =
            "it is a one-step generator, which denoises at one level alone; give a teacher";
        return Err(train::Error::unusable(name, reason).into());
    }
    Ok((file, hash))
}

/// Where `dataset fetch inception` leaves its file.
pub const INCEPTION: &str = "data-cache/inception/default_1.pt";

/// The network that metrics look through: that of a file, or `inception`, or `embedded`, which stands
/// for none as well.
pub fn extractor(path: Option<&Path>) -> anyhow::Result<Box<dyn FeatureExtractor>> {
    let Some(path) = path.filter(|it| it.as_os_str() != "embedded") else {
        return Ok(Box::new(embedded_extractor()?));
    };
    let path = match path.to_str() {
        Some("inception") if Path::new(INCEPTION).is_file() => Path::new(INCEPTION),
        Some("inception") => {
            let reason = format!(
                "{INCEPTION} is not there: `uni-instruct dataset fetch inception` gets it, or give \
                 the path of the file"
            );
            return Err(train::Error::unusable("--features inception", reason).into());
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

/// The classifier of Fashion-MNIST that comes with the program.
pub fn embedded_extractor() -> anyhow::Result<TrainedFeatureNet> {
    Ok(FeatureNetFile::from_bytes("the embedded feature network", FEATURES)?.extractor()?)
}

/// The text of a configuration file.
pub fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{}: cannot read", path.display()))
}

/// Parses a number that is not negative, and not NaN, which would switch a limit off.
pub fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|it| 0.0 <= *it);
    number.ok_or_else(|| "expected a number from 0 on".to_owned())
}

/// Runs a job in its folder until it is over, or a signal stops it.
pub fn run_job(job: &mut dyn Job, folder: &Path, minutes: Option<f64>) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let signal = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    for number in [SIGINT, SIGTERM] {
        // Actions run in this order: once the job is over a signal ends the program as usual, and
        // who sees the flag can tell which signal it was.
        signal_hook::flag::register_conditional_default(number, over.clone())?;
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
        signal_hook::flag::register(number, stop.clone())?;
    }
    let stats = JsonLines::append(&folder.join("stats.jsonl"))?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(Console::new()), Box::new(stats)];
    let limits = Limits { stop: &stop, seconds: minutes.map(|minutes| 60.0 * minutes) };
    let ending = run::run(job, folder, &mut sinks, &limits);
    over.store(true, Ordering::SeqCst);
    kernels::runtime::end_on_closed_pipe();
    match ending? {
        // What comes after a job must not start when the signal came in its last moment.
        Ending::Finished if !stop.load(Ordering::SeqCst) => Ok(()),
        Ending::Finished | Ending::Interrupted => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_feature_network_knows_its_classes() {
        let file = FeatureNetFile::from_bytes("embedded", FEATURES).unwrap();
        assert!(0.92 <= file.accuracy, "{}", file.accuracy);
        let images = dataset(FASHION_MNIST).unwrap().pad(2).unwrap();
        let extractor = embedded_extractor().unwrap();
        let accuracy = train::classifier::accuracy(&extractor, &images, &Device::Cpu).unwrap();
        assert!((accuracy - file.accuracy).abs() < 1e-3, "{accuracy}, not {}", file.accuracy);
    }

    #[test]
    fn the_embedded_teacher_is_one() {
        let (file, _) = teacher(FASHION_MNIST).unwrap();
        assert_eq!(file.provenance.entries["licence"], "MIT");
        assert!(dataset_for(&file.config, FASHION_MNIST).unwrap().shape() == [1, 32, 32]);
    }

    #[test]
    fn the_embedded_student_was_made_of_the_embedded_teacher() {
        let (student, _) = network("fashion-mnist-student").unwrap();
        let (file, hash) = teacher(FASHION_MNIST).unwrap();
        assert_eq!(student.config, file.config);
        let entries = &student.provenance.entries;
        assert_eq!(entries["teacher_blake3"], hash);
        assert_eq!(entries["licence"], "MIT");
        assert!(teacher("fashion-mnist-student").is_err(), "a student is no teacher");
    }
}
