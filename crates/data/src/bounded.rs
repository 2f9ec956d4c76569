//! Reads that cannot be made to fill memory, and names that cannot be made to leave their folder.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path};

use crate::{Error, archive};

/// Largest number of bytes of pixels in a data set: ImageNet at 64x64x3 (15.7 GB) fits.
pub(crate) const MAX_PIXELS: u64 = 1 << 34;

/// Bytes of pixels that any archive may expand to, however small it is.
const FLOOR: u64 = 64 << 20;
/// Bytes that one byte of an archive may expand to beyond [`FLOOR`]. One deflate stream expands at
/// most 1032 times (RFC 1951), and only for zeros; a deflated PNG file is two streams, one in the
/// other.
const MAX_RATIO: u64 = 1000;

/// Largest number of bytes of pixels accepted from an archive of `size` bytes.
pub(crate) fn expanded(size: u64) -> u64 {
    size.saturating_mul(MAX_RATIO).saturating_add(FLOOR).min(MAX_PIXELS)
}

/// First two bytes of every gzip file (RFC 1952, sec. 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens a file to read.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(BufReader::new(file)),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// Opens a file to read, through gzip if it is compressed.
pub(crate) fn open_plain_or_gzip(path: &Path) -> Result<Box<dyn Read>, Error> {
    let mut head = Vec::new();
    open(path)?
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut head)
        .map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let file = open(path)?;
    if head == GZIP_MAGIC {
        archive::gunzip(file, &path.display().to_string())
    } else {
        Ok(Box::new(file))
    }
}

/// Reads bytes through gzip if they are compressed; `file` names them in errors.
pub(crate) fn plain_or_gzip<'a>(bytes: &'a [u8], file: &str) -> Result<Box<dyn Read + 'a>, Error> {
    if bytes.starts_with(&GZIP_MAGIC) { archive::gunzip(bytes, file) } else { Ok(Box::new(bytes)) }
}

/// Reads `reader` to its end; an error if that is more than `limit` bytes.
///
/// Memory grows with the bytes read, not with the size that a header claims.
pub(crate) fn read_all(reader: impl Read, limit: u64, file: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Unreadable { file: file.to_owned(), source })?;
    if limit < bytes.len() as u64 {
        return Err(Error::TooLarge { file: file.to_owned(), limit });
    }
    Ok(bytes)
}

/// Tests that a name from an archive stays inside the folder it is unpacked to, on any system.
pub(crate) fn is_safe_name(name: &str) -> bool {
    let foreign = name.contains('\\') || name.contains('\0') || name.contains(':');
    !name.is_empty()
        && !foreign
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}
