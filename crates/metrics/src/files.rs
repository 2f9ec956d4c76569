//! Whole files, read and written: what is written appears complete or not at all.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// The content of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io(path))
}

/// Writes a file that appears whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    models::files::replace(path, |out| out.write_all(bytes)).map_err(Error::io(path))
}
