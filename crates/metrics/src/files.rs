//! Whole files, read and written: what is written appears complete or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// The content of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io(path))
}

/// Writes a sibling, flushes it to the disk and renames it, so that `path` is never half written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut sibling = path.as_os_str().to_owned();
    sibling.push(format!(".{}.part", std::process::id()));
    let sibling = Path::new(&sibling);
    let written = File::create(sibling)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(sibling, path));
    written.map_err(|source| {
        // The error of the write is the one to tell; the sibling may not even exist.
        let _ = fs::remove_file(sibling);
        Error::Io { path: path.to_owned(), source }
    })
}
