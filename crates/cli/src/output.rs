//! Results on standard output, notes on standard error. Unlike the standard library's macros, these
//! do not panic if the output cannot be written: on a full disk, or after the reader has gone.

use std::{
    fmt::Arguments,
    io::{Result, Write},
};

use anyhow::Context;

/// Prints a result and a line break: `say!("{images} images")?`.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::to_stdout(format_args!($($words)*)) };
}

/// Prints a note. A note that cannot be written is dropped, because no result depends on it.
macro_rules! note {
    ($($words:tt)*) => { $crate::output::to_stderr(format_args!($($words)*)) };
}

pub(crate) use {note, say};

/// Implementation of [`say!`].
///
/// # Errors
///
/// If standard output cannot be written.
pub fn to_stdout(words: Arguments<'_>) -> anyhow::Result<()> {
    line(std::io::stdout().lock(), words).context("standard output: cannot write")
}

/// Implementation of [`note!`].
pub fn to_stderr(words: Arguments<'_>) {
    line(std::io::stderr().lock(), words).ok();
}

fn line(mut stream: impl Write, words: Arguments<'_>) -> Result<()> {
    writeln!(stream, "{words}")?;
    stream.flush()
}
