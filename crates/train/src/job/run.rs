//! The training loop: update, tick, sample, checkpoint, and stop on request.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use candle_core::Tensor;

use super::advantage::LowAdvantage;
use crate::{
    Error,
    config::LogConfig,
    events::{Accumulator, Event, Sink, Tick},
    state::{Outcome, Progress, latest_checkpoint},
    step::BinMonitor,
};

/// A training job with checkpoints: a distillation, a teacher, a feature network.
pub trait Job {
    /// Progress of the job.
    fn progress(&self) -> Progress;

    /// Images at the end of the job.
    fn total(&self) -> u64;

    /// Intervals of statistics, sample grids and checkpoints.
    fn log(&self) -> LogConfig;

    /// Number of the current phase, counted from one, and its description; `None` without phases.
    fn phase(&self) -> Option<(usize, String)>;

    /// Runs one update.
    ///
    /// # Errors
    ///
    /// If the run cannot continue.
    fn update(&mut self) -> Result<Outcome, Error>;

    /// Monitors of the job's estimates since the last call; none by default.
    fn take_monitors(&mut self) -> Vec<BinMonitor> {
        Vec::new()
    }

    /// Some images of the averaged network, `[B, C, H, W]` in [-1, 1]; `None` if it makes no images.
    ///
    /// # Errors
    ///
    /// If the network fails.
    fn samples(&self) -> Result<Option<Tensor>, Error>;

    /// Writes a checkpoint into a folder.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn save(&mut self, folder: &Path) -> Result<PathBuf, Error>;

    /// Continues from a checkpoint.
    ///
    /// # Errors
    ///
    /// If it is damaged or belongs to another run.
    fn resume(&mut self, path: &Path) -> Result<(), Error>;
}

/// End of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All images were shown, or the time limit was reached.
    Finished,
    /// A stop was requested, and a checkpoint was written.
    Interrupted,
}

/// Conditions that stop a run before all its images are shown.
pub struct StopConditions<'a> {
    /// Request to stop, set from outside, for example by a signal handler.
    pub stop: &'a AtomicBool,
    /// Time limit of all updates, over all sessions, in seconds.
    pub seconds: Option<f64>,
}

/// Runs a job in `folder` to its end, starting from the newest checkpoint there.
///
/// Before the run ends for any reason but a crash, it writes a checkpoint of the last applied update.
///
/// # Errors
///
/// If an update, a sink or a checkpoint fails.
pub fn run(
    job: &mut dyn Job,
    folder: &Path,
    sinks: &mut [Box<dyn Sink>],
    conditions: &StopConditions<'_>,
) -> Result<Ending, Error> {
    let checkpoints = folder.join("checkpoints");
    let newest = latest_checkpoint(&checkpoints)?;
    if let Some(path) = &newest {
        job.resume(path)?;
    }
    let (images, total) = (job.progress().images, job.total());
    emit(sinks, &Event::Started { images, total, resumed: newest.is_some() })?;
    let ending = updates(job, folder, sinks, conditions);
    // A failed update leaves the state of the last applied one.
    let saved = if job.progress().images == images && newest.is_some() {
        None
    } else {
        Some(job.save(&checkpoints))
    };
    // The first error is reported, because a full disk, say, fails the checkpoint as well.
    let ending = ending?;
    if let Some(path) = saved.transpose()? {
        emit(sinks, &Event::Wrote { what: "checkpoint", path })?;
    }
    let images = job.progress().images;
    emit(
        sinks,
        &match ending {
            Ending::Finished => Event::Finished { images },
            Ending::Interrupted => Event::Interrupted { images },
        },
    )?;
    Ok(ending)
}

fn updates(
    job: &mut dyn Job,
    folder: &Path,
    sinks: &mut [Box<dyn Sink>],
    conditions: &StopConditions<'_>,
) -> Result<Ending, Error> {
    let total = job.total();
    let mut sums: BTreeMap<&'static str, Accumulator> = BTreeMap::new();
    let mut phase = None;
    let mut advantage = LowAdvantage::default();
    loop {
        let before = job.progress();
        if total <= before.images || conditions.seconds.is_some_and(|limit| limit <= before.seconds)
        {
            return Ok(Ending::Finished);
        }
        if conditions.stop.load(Ordering::Relaxed) {
            return Ok(Ending::Interrupted);
        }
        if let Some((number, method)) = job.phase().filter(|now| Some(now.0) != phase) {
            phase = Some(number);
            emit(sinks, &Event::Phase { number, method })?;
        }
        match job.update()? {
            Outcome::Applied(stats) => {
                for (name, value) in stats {
                    sums.entry(name).or_default().add(value);
                }
            }
            Outcome::Skipped(what) => {
                emit(sinks, &Event::NonFinite { images: before.images, what })?;
            }
        }
        let after = job.progress();
        let (images, seconds, log) = (after.images, after.seconds, job.log());
        emit(sinks, &Event::Update { images, total, seconds })?;
        let over = total <= images;
        if over || crossed(before.images, images, log.tick) {
            let stats = std::mem::take(&mut sums);
            let stats = stats.into_iter().map(|(name, sums)| (name, sums.stat())).collect();
            let monitors = job.take_monitors();
            let text = advantage.warning(&monitors, log.low_advantage_ticks);
            emit(sinks, &Event::Tick(Tick { images, total, seconds, stats, monitors }))?;
            if let Some(text) = text {
                emit(sinks, &Event::Warning { images, text })?;
            }
        }
        if crossed(before.images, images, log.samples) {
            write_samples(job, folder, sinks)?;
        }
        if !over && crossed(before.images, images, log.checkpoint) {
            let path = job.save(&folder.join("checkpoints"))?;
            emit(sinks, &Event::Wrote { what: "checkpoint", path })?;
        }
    }
}

/// Returns true if (`before`, `after`] contains a multiple of `every`. Always false if `every` is 0.
fn crossed(before: u64, after: u64, every: u64) -> bool {
    every != 0 && before / every != after / every
}

/// Columns of a grid of samples.
const COLUMNS: usize = 10;

fn write_samples(job: &dyn Job, folder: &Path, sinks: &mut [Box<dyn Sink>]) -> Result<(), Error> {
    let Some(images) = job.samples()? else { return Ok(()) };
    let folder = folder.join("samples");
    fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
    let path = folder.join(format!("{:012}.png", job.progress().images));
    let grid = data::png::grid(&images, COLUMNS)?;
    fs::write(&path, grid).map_err(Error::io(&path, "write"))?;
    emit(sinks, &Event::Wrote { what: "samples", path })
}

/// Sends an event to all sinks.
///
/// # Errors
///
/// If one of them fails.
fn emit(sinks: &mut [Box<dyn Sink>], event: &Event) -> Result<(), Error> {
    sinks.iter_mut().try_for_each(|sink| sink.emit(event))
}

#[cfg(test)]
mod tests {
    use super::crossed;

    #[test]
    fn each_boundary_is_crossed_once() {
        for (before, after, every, expected) in [
            (0, 64, 100, false),
            (64, 128, 100, true),
            (128, 200, 100, true),
            (200, 264, 100, false),
            (0, 64, 0, false),
        ] {
            assert_eq!(crossed(before, after, every), expected, "{before} {after}");
        }
    }
}
