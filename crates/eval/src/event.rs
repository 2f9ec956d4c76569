//! Events of a running evaluation, for a progress bar or a log.

/// Something that happens while an evaluation runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A part of the work is done.
    Progress {
        /// Current step.
        step: &'static str,
        /// Units of work done in this step.
        done: u64,
        /// Units of work of the step.
        total: u64,
    },
    /// The cache of features cannot be read; the features are computed again.
    CacheNotRead(&'a metrics::Error),
    /// The cache of features cannot be written; the next evaluation computes them again.
    CacheNotWritten(&'a metrics::Error),
}

/// A callback for the events of an evaluation.
pub type OnEvent<'a> = dyn FnMut(Event<'_>) + 'a;
