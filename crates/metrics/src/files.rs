//! Reading and writing of whole files.

use std::fs;
use std::path::Path;

use crate::{Error, Result};

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io(path))
}

/// Writes a file that is complete or absent.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    models::files::replace(path, |out| out.write_all(bytes)).map_err(Error::io(path))
}
