//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a sibling of `path`, flushes it to the disk and renames it: an earlier file of that name
/// is whole until the new one is.
///
/// # Errors
///
/// If `write` fails, or the disk is full or not writable; nothing is left behind then.
pub fn replace<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let sibling = path.with_file_name(name);
    let whole = || -> Result<(), E> {
        let mut file = BufWriter::new(File::create(&sibling)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(fs::rename(&sibling, path)?)
    };
    whole().inspect_err(|_| {
        // The first error is the one to report; a leftover sibling does no harm.
        fs::remove_file(&sibling).ok();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, |out| out.write_all(b"first")).unwrap();
        let failed = replace(&path, |out| {
            out.write_all(b"sec")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        replace(&path, |out| out.write_all(b"second")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no sibling is left");
    }
}
