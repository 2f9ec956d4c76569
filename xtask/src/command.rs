//! Commands whose output passes through.

use std::process::Command;

use anyhow::{Context, ensure};

/// Runs a command and passes its output through.
///
/// # Errors
///
/// If it does not start, or fails.
pub fn call(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
