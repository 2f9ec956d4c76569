//! Exit codes, decided in one place from what went wrong.

use std::{fmt, path::PathBuf};

/// Something else failed.
pub const FAILURE: u8 = 1;
/// The command line or the environment is not understood; clap ends with it, too.
pub const USAGE: u8 = 2;
/// A configuration is not valid.
const CONFIGURATION: u8 = 3;
/// An input file is at fault.
const INPUT: u8 = 4;
/// Numbers were not finite.
const NUMERIC: u8 = 5;

/// A figure is not what was required.
const GATE: u8 = 6;

/// A run that was asked to stop, and left a checkpoint.
#[derive(Debug)]
pub struct Interrupted {
    /// The signal.
    pub signal: u8,
    /// How to go on.
    pub advice: String,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted after a checkpoint; {}", self.advice)
    }
}

impl std::error::Error for Interrupted {}

/// A figure that is not what was required, in words.
#[derive(Debug)]
pub struct GateNotMet(pub String);

impl fmt::Display for GateNotMet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GateNotMet {}

/// A folder that holds another run than the one that would go on in it.
#[derive(Debug)]
pub struct ForeignRun {
    /// The folder.
    pub folder: PathBuf,
    /// What differs.
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
             --out, or what that run was started with",
            folder.display()
        )
    }
}

impl std::error::Error for ForeignRun {}

/// The exit code of an error, by the first cause that has one.
pub fn code(err: &anyhow::Error) -> u8 {
    err.chain().find_map(of_cause).unwrap_or(FAILURE)
}

fn of_cause(err: &(dyn std::error::Error + 'static)) -> Option<u8> {
    /// What shells add to the number of a signal.
    const SIGNAL: u8 = 128;
    if let Some(Interrupted { signal, .. }) = err.downcast_ref() {
        return Some(SIGNAL + signal);
    }
    if err.is::<GateNotMet>() {
        return Some(GATE);
    }
    if let Some(err) = err.downcast_ref::<train::Error>() {
        return match err {
            train::Error::Config { .. }
            | train::Error::Unusable { .. }
            | train::Error::Method { .. } => Some(CONFIGURATION),
            train::Error::Checkpoint { .. }
            | train::Error::ForeignCheckpoint { .. }
            | train::Error::Io { .. }
            | train::Error::Model(_) => Some(INPUT),
            train::Error::NonFinite { .. }
            | train::Error::NonFiniteState { .. }
            | train::Error::Data(data::Error::NotANumber { .. }) => Some(NUMERIC),
            train::Error::Data(_) => Some(INPUT),
            _ => None,
        };
    }
    if let Some(err) = err.downcast_ref::<metrics::Error>() {
        return match err {
            metrics::Error::File { .. }
            | metrics::Error::Io { .. }
            | metrics::Error::Network(_)
            | metrics::Error::Mismatch { .. }
            | metrics::Error::Label { .. } => Some(INPUT),
            metrics::Error::NonFinite { .. } => Some(NUMERIC),
            _ => None,
        };
    }
    if let Some(data::Error::NotANumber { .. }) = err.downcast_ref() {
        return Some(NUMERIC);
    }
    let file = err.is::<data::Error>()
        || err.is::<models::Error>()
        || err.is::<std::io::Error>()
        || err.is::<ForeignRun>();
    file.then_some(INPUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_follow_the_cause_through_any_context() {
        let unusable = train::Error::unusable("phase", "there is none");
        let table = [
            (anyhow::Error::from(unusable), 3),
            (train::Error::NonFinite { images: 1, what: "Loss/fake", times: 2 }.into(), 5),
            (std::io::Error::other("full").into(), 4),
            (metrics::Error::File { name: "a.npz".into(), reason: String::new() }.into(), 4),
            (train::Error::Data(data::Error::NotANumber { image: 1 }).into(), 5),
            (train::Error::Data(data::Error::EmptySelection).into(), 4),
            (data::Error::NotANumber { image: 1 }.into(), 5),
            (Interrupted { signal: 15, advice: String::new() }.into(), 143),
            (GateNotMet("fd<1".into()).into(), 6),
            (anyhow::anyhow!("something else"), 1),
        ];
        for (err, expected) in table {
            assert_eq!(code(&err.context("while at work")), expected);
        }
    }
}
