//! Published data sets by name, checked against the published hashes.
//!
//! A data set has several sources: its public addresses first, then a folder of this machine, then
//! packages of a distribution or registry, fetched by that registry's own client. Sources are tried
//! one after the other until one gives files whose uncompressed content has the published SHA-256.
//! The hash is the only trust anchor: neither the source nor the network has to be trusted.

mod download;
mod package;
mod published;
mod source;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
pub use crate::error::Attempt;

use published::Published;
use source::Source;

/// Progress of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchProgress<'a> {
    /// Address, folder or package.
    pub source: &'a str,
    /// Bytes of the current file or package so far.
    pub bytes: u64,
    /// Total bytes of the current file or package, if known.
    pub total: Option<u64>,
}

/// Names that can be fetched, in the order of the table of sources.
pub fn names() -> Vec<&'static str> {
    source::TABLE.iter().map(|(set, _)| set.name).collect()
}

/// Fetches a data set (`fashion-mnist`, `cifar10`) or the network of FID (`inception`) into a
/// folder of that name inside `dir`, and returns the folder. [`crate::Dataset::open`] reads a data
/// set.
///
/// If the folder exists already, its content is checked and nothing is fetched. The files appear
/// together or not at all. `progress` is called often, and at least once for each source.
///
/// # Errors
///
/// If the name is unknown; if the folder exists with other content, which is left unchanged; if
/// `dir` cannot be written; or if every source fails, with the reason for each.
pub fn fetch(
    name: &str,
    dir: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<PathBuf, Error> {
    let found = source::TABLE.iter().find(|(set, _)| set.name == name);
    let unknown = || Error::UnknownName { name: name.to_owned(), known: names() };
    let (set, sources) = found.ok_or_else(unknown)?;
    obtain(set, &sources(), dir, progress)
}

fn obtain(
    set: &Published,
    sources: &[Source],
    dir: &Path,
    progress: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<PathBuf, Error> {
    let folder = dir.join(set.name);
    if folder.exists() {
        set.check(&folder)?;
        return Ok(folder);
    }
    let mut tried = Vec::new();
    for source in sources {
        let staging = Staging::new(dir, set.name)?;
        progress(FetchProgress { source: &source.to_string(), bytes: 0, total: None });
        let files = staging.folder("files")?;
        let fetched = source
            .collect(set, &files, &staging.folder("work")?, progress)
            .and_then(|()| set.check(&files));
        match fetched {
            Ok(()) => {
                fs::rename(&files, &folder)
                    .map_err(|source| Error::Io { path: folder.clone(), source })?;
                return Ok(folder);
            }
            Err(error) => {
                tried.push(Attempt { source: source.to_string(), reason: chain(&error) });
            }
        }
    }
    Err(Error::Fetch { name: set.name, tried })
}

/// Formats an error and its sources on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Folder next to the final one, on the same disk; removed with its content at the end.
struct Staging(PathBuf);

impl Staging {
    fn new(dir: &Path, name: &str) -> Result<Self, Error> {
        let path = dir.join(format!(".{name}.partial-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Self(path))
    }

    fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.0.join(name);
        fs::create_dir_all(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A folder that cannot be removed is hidden and named as partial; no caller takes the
        // error.
        let _ = fs::remove_dir_all(&self.0);
    }
}
