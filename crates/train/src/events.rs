//! Events of a run, and sinks that receive them.
//!
//! The library prints nothing. [`JsonLines`] writes a file; a program adds its own console sink.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::{Error, step::BinMonitor};

/// Event of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The run starts or resumes.
    Started {
        /// Images shown so far.
        images: u64,
        /// Images at the end of the run.
        total: u64,
        /// True if a checkpoint was read.
        resumed: bool,
    },
    /// Progress of a preparation: `done` of `total` items.
    Preparing {
        /// Name of the preparation.
        what: &'static str,
        /// Finished items.
        done: u64,
        /// All items.
        total: u64,
    },
    /// A phase begins.
    Phase {
        /// Number of the phase, counted from one.
        number: usize,
        /// Description of the method.
        method: String,
    },
    /// An update was done.
    Update {
        /// Images shown so far.
        images: u64,
        /// Images at the end of the run.
        total: u64,
        /// Seconds spent in updates so far, over all sessions.
        seconds: f64,
    },
    /// Statistics since the last tick.
    Tick(Tick),
    /// The estimates of a run are not to be trusted.
    Warning {
        /// Images shown so far.
        images: u64,
        /// Reason and remedy.
        text: String,
    },
    /// An update was skipped because of a non-finite quantity.
    NonFinite {
        /// Images shown so far.
        images: u64,
        /// Name of the quantity.
        what: &'static str,
    },
    /// A file was written.
    Wrote {
        /// Kind of file.
        what: &'static str,
        /// Its path.
        path: PathBuf,
    },
    /// The run stopped before its end, on request.
    Interrupted {
        /// Images shown so far.
        images: u64,
    },
    /// The run is finished.
    Finished {
        /// Images shown.
        images: u64,
    },
}

/// Statistics of the updates since the last tick.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Images shown so far.
    pub images: u64,
    /// Images at the end of the run.
    pub total: u64,
    /// Seconds spent in updates so far, over all sessions.
    pub seconds: f64,
    /// Statistics, by name.
    pub stats: BTreeMap<&'static str, Stat>,
    /// Monitors of the estimates, in order of the noise level; empty for jobs that have none.
    pub monitors: Vec<BinMonitor>,
}

/// Count, mean and standard deviation of a quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stat {
    /// Number of values.
    pub num: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
}

/// Running sums of a [`Stat`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accumulator {
    num: u64,
    mean: f64,
    squares: f64,
}

impl Accumulator {
    /// Adds a value (Welford's update, which avoids cancellation).
    pub fn add(&mut self, value: f64) {
        self.num += 1;
        let before = value - self.mean;
        self.mean += before / self.num as f64;
        self.squares += before * (value - self.mean);
    }

    /// Statistics of the values so far.
    pub fn stat(&self) -> Stat {
        let variance = self.squares / self.num.max(1) as f64;
        Stat { num: self.num, mean: self.mean, std: variance.sqrt() }
    }
}

/// Receiver of events. A sink that fails stops the run, with a checkpoint.
pub trait Sink {
    /// Receives an event.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn emit(&mut self, event: &Event) -> Result<(), Error>;
}

/// Sink that writes `stats.jsonl`: one line per tick, with one object per quantity and a time stamp.
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Appends to the file at `path`.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub fn append(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { path: path.into(), file: file.map_err(Error::io(path, "append"))? })
    }
}

impl Sink for JsonLines {
    fn emit(&mut self, event: &Event) -> Result<(), Error> {
        let Event::Tick(tick) = event else { return Ok(()) };
        let mut line = serde_json::Map::new();
        let once = |mean: f64| serde_json::json!({ "num": 1, "mean": mean, "std": 0.0 });
        line.insert("Progress/kimg".into(), once(tick.images as f64 / 1e3));
        line.insert("Timing/total_sec".into(), once(tick.seconds));
        for (name, stat) in &tick.stats {
            line.insert((*name).into(), serde_json::json!(stat));
        }
        if !tick.monitors.is_empty() {
            line.insert("Monitor".into(), serde_json::json!(tick.monitors));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        line.insert("timestamp".into(), now.as_secs_f64().into());
        let line = format!("{}\n", serde_json::Value::Object(line));
        self.file.write_all(line.as_bytes()).map_err(Error::io(&self.path, "append"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accumulators_give_mean_and_deviation() {
        let mut sums = Accumulator::default();
        for value in [1e9 + 1.0, 1e9 + 2.0, 1e9 + 6.0] {
            sums.add(value);
        }
        let stat = sums.stat();
        assert_eq!((stat.num, stat.mean), (3, 1e9 + 3.0));
        assert!((stat.std - (14f64 / 3.0).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn a_tick_is_a_line_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats.jsonl");
        let stats = BTreeMap::from([("Loss/fake", Stat { num: 2, mean: 0.5, std: 0.25 })]);
        let monitor = BinMonitor { sigma: [0.1, 1.0], advantage: Some(0.5), ..Default::default() };
        let monitors = vec![monitor];
        let tick = Tick { images: 1500, total: 3000, seconds: 4.0, stats, monitors };
        JsonLines::append(&path).unwrap().emit(&Event::Tick(tick.clone())).unwrap();
        JsonLines::append(&path).unwrap().emit(&Event::Tick(tick)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["Progress/kimg"]["mean"], 1.5);
        assert_eq!(line["Loss/fake"]["std"], 0.25);
        assert_eq!(line["Monitor"][0]["advantage"], 0.5);
        assert!(line["Monitor"][0].get("auc").is_none());
    }
}
