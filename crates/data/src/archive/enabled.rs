//! Gzip, tar and zip by the crates for them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use flate2::bufread::MultiGzDecoder;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::Error;
use crate::bounded::{self, is_safe_name};

/// Remedy for an archive that breaks the rules of its format.
const REMEDY: &str = "build the data set again";

/// Decompresses gzip; `file` names the bytes in errors.
pub(crate) fn gunzip<'a>(
    compressed: impl BufRead + 'a,
    _file: &str,
) -> Result<Box<dyn Read + 'a>, Error> {
    Ok(Box::new(MultiGzDecoder::new(compressed)))
}

/// Calls `visit` with the path and the content of each entry of an uncompressed tar archive.
pub(crate) fn read_tar(
    archive: impl Read,
    file: &str,
    visit: &mut dyn FnMut(&str, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let unreadable = |source| Error::Unreadable { file: file.to_owned(), source };
    for entry in tar::Archive::new(archive).entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        visit(&path, &mut entry)?;
    }
    Ok(())
}

/// Files of a zip archive, by name.
pub(crate) struct ZipFiles<R> {
    archive: ZipArchive<R>,
    file: String,
    /// Position of each file in the archive.
    positions: BTreeMap<String, usize>,
    size: u64,
}

impl<R: Read + Seek> ZipFiles<R> {
    /// Lists an archive, whose names must be safe and distinct; `file` names it in errors.
    pub(crate) fn open(mut reader: R, file: &str) -> Result<Self, Error> {
        let broken = |error: ZipError| malformed(file, format!("not a whole zip file ({error})"));
        let unreadable = |source| Error::Unreadable { file: file.to_owned(), source };
        let size = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
        let mut archive = ZipArchive::new(reader).map_err(broken)?;
        // The reader would keep one of the entries, and it is undefined which.
        if archive.has_duplicate_names() {
            return Err(malformed(file, "two entries have the same name".to_owned()));
        }
        let mut positions = BTreeMap::new();
        for position in 0..archive.len() {
            let entry = archive.by_index_raw(position).map_err(broken)?;
            if entry.is_dir() {
                continue;
            }
            let name = entry.name().map_err(broken)?.into_owned();
            if !is_safe_name(&name) {
                return Err(Error::UnsafeName { archive: file.to_owned(), name });
            }
            positions.insert(name, position);
        }
        Ok(Self { archive, file: file.to_owned(), positions, size })
    }

    /// Bytes of the archive.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Names of all files, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.positions.keys().cloned().collect()
    }

    /// Reads a file of at most `limit` bytes; `None` if the archive has no file of this name.
    pub(crate) fn read(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(&position) = self.positions.get(name) else { return Ok(None) };
        let file = format!("{}: {name}", self.file);
        let fault = |error: ZipError| malformed(&file, format!("unreadable ({error})"));
        let entry = self.archive.by_index(position).map_err(fault)?;
        if limit < entry.size() {
            return Err(Error::TooLarge { file, limit });
        }
        bounded::read_all(entry, limit, &file).map(Some)
    }
}

/// Writes a stored zip of these files; `fault` turns a failed write into an error.
pub(crate) fn write_zip<W: Write + Seek>(
    out: W,
    files: impl Iterator<Item = (String, Result<Vec<u8>, Error>)>,
    fault: impl Fn(io::Error) -> Error,
) -> Result<W, Error> {
    let mut zip = ZipWriter::new(out);
    // PNG is compressed already.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files {
        zip.start_file(name, options).map_err(|error| fault(error.into()))?;
        zip.write_all(&bytes?).map_err(&fault)?;
    }
    zip.finish().map_err(|error| fault(error.into()))
}

fn malformed(file: &str, problem: String) -> Error {
    Error::Malformed { file: file.to_owned(), problem, remedy: REMEDY }
}
