//! The loop: update, tick, sample, checkpoint; stop when asked to.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use candle_core::Tensor;

use crate::{
    Error, checkpoint,
    config::LogConfig,
    engine::Outcome,
    events::{Accumulator, Event, Sink, Tick},
    state::Progress,
};

/// Something that is trained update by update and can be kept: a distillation, a teacher.
pub trait Job {
    /// How far it is.
    fn progress(&self) -> Progress;

    /// Images when it will be over.
    fn total(&self) -> u64;

    /// How often what is written.
    fn log(&self) -> LogConfig;

    /// The phase it is in, counted from one, in words; `None` if it has no phases.
    fn phase(&self) -> Option<(usize, String)>;

    /// One update.
    ///
    /// # Errors
    ///
    /// If the run cannot go on.
    fn update(&mut self) -> Result<Outcome, Error>;

    /// A few images of the current average, `[B, C, H, W]` in [-1, 1]; `None` if not images.
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

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    ///
    /// If it is damaged or belongs to another run.
    fn resume(&mut self, path: &Path) -> Result<(), Error>;
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All images were shown, or its time was used up.
    Finished,
    /// It was asked to stop, and left a checkpoint.
    Interrupted,
}

/// When a run stops before all its images are shown.
pub struct Limits<'a> {
    /// Set from outside, by a signal.
    pub stop: &'a AtomicBool,
    /// Seconds that updates may take, over all sessions.
    pub seconds: Option<f64>,
}

/// Runs a job in `folder` until it is over, going on from the newest checkpoint there.
///
/// Whatever ends it, except a crash, a checkpoint of the last applied update is written first.
///
/// # Errors
///
/// If an update, a sink or a checkpoint fails.
pub fn run(
    job: &mut dyn Job,
    folder: &Path,
    sinks: &mut [Box<dyn Sink>],
    limits: &Limits<'_>,
) -> Result<Ending, Error> {
    let checkpoints = folder.join("checkpoints");
    let newest = checkpoint::latest(&checkpoints)?;
    if let Some(path) = &newest {
        job.resume(path)?;
    }
    let (images, total) = (job.progress().images, job.total());
    emit(sinks, &Event::Started { images, total, resumed: newest.is_some() })?;
    let ending = updates(job, folder, sinks, limits);
    // After a failed update the state is still that of the last applied one.
    let saved = match job.progress().images == images && newest.is_some() {
        true => None,
        false => Some(job.save(&checkpoints)),
    };
    // The first error is the one to report: a full disk fails the checkpoint as well.
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
    limits: &Limits<'_>,
) -> Result<Ending, Error> {
    let total = job.total();
    let mut sums: BTreeMap<&'static str, Accumulator> = BTreeMap::new();
    let mut phase = None;
    loop {
        let before = job.progress();
        if total <= before.images || limits.seconds.is_some_and(|limit| limit <= before.seconds) {
            return Ok(Ending::Finished);
        }
        if limits.stop.load(Ordering::Relaxed) {
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
            emit(sinks, &Event::Tick(Tick { images, total, seconds, stats }))?;
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

/// Whether a multiple of `every` lies in (`before`, `after`]; never for 0.
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

/// Tells all sinks.
///
/// # Errors
///
/// If one of them fails.
pub fn emit(sinks: &mut [Box<dyn Sink>], event: &Event) -> Result<(), Error> {
    sinks.iter_mut().try_for_each(|sink| sink.emit(event))
}

#[cfg(test)]
mod tests {
    use super::crossed;

    #[test]
    fn boundaries_are_crossed_once() {
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
