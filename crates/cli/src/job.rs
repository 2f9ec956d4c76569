//! Training in a folder: progress on the console, statistics in a file, a checkpoint on a signal.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::bail;
use signal_hook::consts::{SIGINT, SIGTERM};
use train::{
    events::{JsonLines, Sink},
    run::{self, Ending, Job, StopConditions},
};

use crate::{console::Console, exit::Interrupted};

/// Runs a job in its folder until it ends, or a signal stops it.
pub fn run(job: &mut dyn Job, folder: &Path, minutes: Option<f64>) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let signal = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    for number in [SIGINT, SIGTERM] {
        // Actions run in this order: after the job a signal ends the program as usual, and a reader
        // of the flag can read the number of the signal.
        signal_hook::flag::register_conditional_default(number, over.clone())?;
        signal_hook::flag::register_usize(number, signal.clone(), number as usize)?;
        signal_hook::flag::register(number, stop.clone())?;
    }
    let stats = JsonLines::append(&folder.join("stats.jsonl"))?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(Console::new()), Box::new(stats)];
    let conditions = StopConditions { stop: &stop, seconds: minutes.map(|minutes| 60.0 * minutes) };
    let ending = run::run(job, folder, &mut sinks, &conditions);
    over.store(true, Ordering::SeqCst);
    kernels::runtime::end_on_closed_pipe();
    match ending? {
        // The next step must not start if the signal came in the job's last moment.
        Ending::Finished if !stop.load(Ordering::SeqCst) => Ok(()),
        Ending::Finished | Ending::Interrupted => {
            let signal = signal.load(Ordering::Relaxed) as u8;
            bail!(Interrupted { signal, advice: "run the same command to continue".into() })
        }
    }
}
