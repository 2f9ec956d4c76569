//! Results on standard output, notes on standard error. Unlike the standard library's macros, these
//! do not panic where nobody can take them: on a full disk, or once the reader has gone.

use std::{
    fmt::Arguments,
    io::{Result, Write},
};

use anyhow::Context;

/// Prints a result and the end of its line: `say!("{images} images")?`.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::to_stdout(format_args!($($words)*)) };
}

/// Prints a note, which may get lost: no result depends on it.
macro_rules! note {
    ($($words:tt)*) => { $crate::output::to_stderr(format_args!($($words)*)) };
}

pub(crate) use {note, say};

/// What [`say!`] does.
///
/// # Errors
///
/// If standard output does not take it.
pub fn to_stdout(words: Arguments<'_>) -> anyhow::Result<()> {
    line(std::io::stdout().lock(), words).context("standard output: cannot write")
}

/// What [`note!`] does.
pub fn to_stderr(words: Arguments<'_>) {
    line(std::io::stderr().lock(), words).ok();
}

fn line(mut stream: impl Write, words: Arguments<'_>) -> Result<()> {
    writeln!(stream, "{words}")?;
    stream.flush()
}
