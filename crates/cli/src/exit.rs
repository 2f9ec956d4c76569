//! Exit codes, decided in one place from the cause of an error.

use std::{error::Error, fmt, path::PathBuf};

use crate::usage::Usage;

/// Any other failure.
pub const FAILURE: u8 = 1;
/// Invalid command line or environment; clap uses the same code.
pub const USAGE: u8 = 2;
/// Invalid configuration, or parts that do not fit each other.
const CONFIGURATION: u8 = 3;
/// An input or output file is at fault.
const INPUT: u8 = 4;
/// Values were not finite.
const NUMERIC: u8 = 5;
/// A metric is out of its bound.
const GATE: u8 = 6;

/// A run that a signal stopped after a checkpoint.
#[derive(Debug)]
pub struct Interrupted {
    /// The signal.
    pub signal: u8,
    /// Command that continues the run.
    pub advice: String,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted after a checkpoint; {}", self.advice)
    }
}

impl Error for Interrupted {}

/// A required result that was not reached, in words.
#[derive(Debug)]
pub struct GateNotMet(pub String);

impl fmt::Display for GateNotMet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for GateNotMet {}

/// A folder that holds a different run.
#[derive(Debug)]
pub struct ForeignRun {
    /// The folder.
    pub folder: PathBuf,
    /// Key of the provenance that differs.
    pub key: &'static str,
    /// This run's value.
    pub expected: String,
    /// The value in the folder.
    pub found: String,
}

impl fmt::Display for ForeignRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, key, expected, found } = self;
        write!(
            f,
            "{}: holds a run whose `{key}` is {found}, this one's is {expected}; give another \
             --out, or the arguments of that run",
            folder.display()
        )
    }
}

impl Error for ForeignRun {}

/// The exit code of an error, by the first cause that has one.
pub fn code(err: &anyhow::Error) -> u8 {
    err.chain().find_map(of_cause).unwrap_or(FAILURE)
}

fn of_cause(err: &(dyn Error + 'static)) -> Option<u8> {
    /// Offset that shells add to the number of a signal.
    const SIGNAL: u8 = 128;
    if let Some(Interrupted { signal, .. }) = err.downcast_ref() {
        return Some(SIGNAL + signal);
    }
    if err.is::<GateNotMet>() || err.is::<eval::GateNotMet>() {
        return Some(GATE);
    }
    if err.is::<Usage>() {
        return Some(CONFIGURATION);
    }
    if let Some(err) = err.downcast_ref() {
        return of_train(err);
    }
    if let Some(err) = err.downcast_ref() {
        return of_eval(err);
    }
    if let Some(err) = err.downcast_ref() {
        return of_metrics(err);
    }
    if let Some(err) = err.downcast_ref() {
        return of_data(err);
    }
    let file = err.is::<models::Error>() || err.is::<std::io::Error>() || err.is::<ForeignRun>();
    file.then_some(INPUT)
}

fn of_train(err: &train::Error) -> Option<u8> {
    match err {
        train::Error::Config { .. }
        | train::Error::Unusable { .. }
        | train::Error::Method { .. } => Some(CONFIGURATION),
        train::Error::Checkpoint { .. }
        | train::Error::ForeignCheckpoint { .. }
        | train::Error::Io { .. }
        | train::Error::Model(_) => Some(INPUT),
        train::Error::NonFinite { .. } | train::Error::NonFiniteState { .. } => Some(NUMERIC),
        train::Error::Data(err) => of_data(err),
        _ => None,
    }
}

fn of_eval(err: &eval::Error) -> Option<u8> {
    match err {
        eval::Error::Unusable { .. }
        | eval::Error::TooFew { .. }
        | eval::Error::TooMany { .. }
        | eval::Error::ImageShape { .. } => Some(CONFIGURATION),
        eval::Error::Features { source, .. } => of_eval(source),
        eval::Error::Io { .. } | eval::Error::Model(_) => Some(INPUT),
        eval::Error::Data(err) => of_data(err),
        eval::Error::Metric(err) => of_metrics(err),
        _ => None,
    }
}

fn of_data(err: &data::Error) -> Option<u8> {
    match err {
        data::Error::NotANumber { .. } => Some(NUMERIC),
        _ => Some(INPUT),
    }
}

fn of_metrics(err: &metrics::Error) -> Option<u8> {
    match err {
        metrics::Error::File { .. }
        | metrics::Error::Io { .. }
        | metrics::Error::Network(_)
        | metrics::Error::Mismatch { .. }
        | metrics::Error::Label { .. } => Some(INPUT),
        metrics::Error::NonFinite { .. } => Some(NUMERIC),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_cause_through_any_context() {
        let file = || metrics::Error::File { name: "a.npz".into(), reason: String::new() };
        let few = || eval::Error::TooFew { name: "--count".into(), found: 3, needed: 6 };
        let features = |err| eval::Error::Features { set: "the images", source: Box::new(err) };
        let gate: eval::Gate = "fd<1".parse().unwrap();
        let table = [
            (anyhow::Error::from(Usage::new("--device", "no such device")), 3),
            (train::Error::unusable("phase", "the run has no phase").into(), 3),
            (train::Error::NonFinite { images: 1, what: "Loss/fake", times: 2 }.into(), 5),
            (std::io::Error::other("full").into(), 4),
            (file().into(), 4),
            (few().into(), 3),
            (features(few()).into(), 3),
            (features(file().into()).into(), 4),
            (eval::Error::Metric(metrics::Error::NonFinite { what: "features", row: 1 }).into(), 5),
            (train::Error::Data(data::Error::NotANumber { image: 1 }).into(), 5),
            (train::Error::Data(data::Error::EmptySelection).into(), 4),
            (data::Error::NotANumber { image: 1 }.into(), 5),
            (features(data::Error::NotANumber { image: 1 }.into()).into(), 5),
            (eval::GateNotMet { gate, measured: None }.into(), 6),
            (Interrupted { signal: 15, advice: String::new() }.into(), 143),
            (GateNotMet("fd<1".into()).into(), 6),
            (anyhow::anyhow!("something else"), 1),
        ];
        for (err, expected) in table {
            let text = err.to_string();
            assert_eq!(code(&err.context("while at work")), expected, "{text}");
        }
    }
}
