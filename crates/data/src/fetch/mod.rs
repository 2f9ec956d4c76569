//! Published data sets by name: from wherever they can be had, and checked to be the published bytes.
//!
//! A set has several sources: its usual public addresses first, then what is installed on this
//! machine, then the packages of a distribution or registry, through that registry's own client.
//! Each is tried until one gives files whose uncompressed content has the published SHA-256; so it
//! does not matter which it was, nor whether the network is trusted.

mod download;
mod package;
mod published;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

use published::Published;
use source::Source;

/// What is known of a fetch under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Where from: an address, a folder, or a package.
    pub source: &'a str,
    /// Bytes of the current file or package so far.
    pub bytes: u64,
    /// Bytes that it has, where that is known.
    pub total: Option<u64>,
}

/// A source that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where from.
    pub source: String,
    /// Why it failed.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.source, self.reason)
    }
}

/// Puts the data set `name` (`fashion-mnist` or `cifar10`), or the network that FID looks through
/// (`inception`), into a folder of that name inside `dir`, which is made if need be, and returns that
/// folder: [`crate::Dataset::open`] reads a set.
///
/// If it is there already, its content is checked and nothing is fetched. Files appear all at once
/// or not at all. `progress` is called often, and at least once for each source.
///
/// # Errors
///
/// If the name is unknown; if the folder is there with other content, which is left as it is; if
/// `dir` cannot be written; or if every source fails, with the reason for each.
pub fn fetch(
    name: &str,
    dir: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, Error> {
    let (set, sources) =
        source::find(name).ok_or_else(|| Error::UnknownName { name: name.to_owned() })?;
    obtain(set, &sources, dir, progress)
}

fn obtain(
    set: &Published,
    sources: &[Source],
    dir: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, Error> {
    let folder = dir.join(set.name);
    if folder.exists() {
        set.check(&folder)?;
        return Ok(folder);
    }
    let mut tried = Vec::new();
    for source in sources {
        let staging = Staging::new(dir, set.name)?;
        progress(Progress { source: &source.to_string(), bytes: 0, total: None });
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

/// An error and what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A folder beside the final one, on the same disk; removed with all that is left in it.
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
        // What cannot be removed is hidden and named as partial; there is no one to tell here.
        let _ = fs::remove_dir_all(&self.0);
    }
}
