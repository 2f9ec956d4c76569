//! NumPy's `.npz`: the field's format of reference statistics.
//!
//! An `.npz` is a zip of `.npy` arrays. This module reads and writes the output of `numpy.savez`:
//! stored entries, arrays `<f4` or `<f8` of at most [`MAX_AXES`] axes. Other content, such as
//! pickled object arrays, is an error that names it. No memory is allocated for a size that a file
//! only claims, and every entry's CRC-32 is checked.

mod npy;
mod zip;

use std::collections::BTreeMap;
use std::path::Path;

pub use npy::MAX_AXES;

use crate::{Error, Result, files};

/// An array of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes of the axes, slowest first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values, last axis fastest (NumPy's C order).
    pub values: Values,
}

/// Values of an array, in the precision of the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Little-endian f32, `<f4`.
    F32(Vec<f32>),
    /// Little-endian f64, `<f8`.
    F64(Vec<f64>),
}

impl Values {
    /// Converts the values to f64.
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::F32(values) => values.iter().map(|&x| f64::from(x)).collect(),
            Self::F64(values) => values.clone(),
        }
    }
}

/// Arrays of a file by name, without `.npy`.
pub type Arrays = BTreeMap<String, Array>;

/// Reads a file.
///
/// # Errors
///
/// If the file cannot be read, or as [`from_bytes`].
pub fn read(path: &Path) -> Result<Arrays> {
    from_bytes(&path.display().to_string(), &files::read(path)?)
}

/// Decodes a file's content; `name` names it in errors.
///
/// # Errors
///
/// If it is not a zip of stored, undamaged `<f4` or `<f8` arrays.
pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Arrays> {
    let entries = zip::entries(bytes).map_err(|reason| Error::file(name, reason))?;
    let mut arrays = Arrays::new();
    for (entry, content) in entries {
        let key = entry.strip_suffix(".npy").unwrap_or(&entry);
        let array = npy::decode(content)
            .map_err(|reason| Error::file(name, format!("array `{key}`: {reason}")))?;
        arrays.insert(key.to_owned(), array);
    }
    Ok(arrays)
}

/// Writes a file that is complete or absent.
///
/// # Errors
///
/// If the file cannot be written, or as [`to_bytes`].
pub fn write(path: &Path, arrays: &Arrays) -> Result<()> {
    files::write(path, &to_bytes(&path.display().to_string(), arrays)?)
}

/// Encodes a file's content; `name` names it in errors.
///
/// # Errors
///
/// If an array's shape does not fit its values, or the file would exceed the 4 GiB of a plain zip.
pub fn to_bytes(name: &str, arrays: &Arrays) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    for (key, array) in arrays {
        let content = npy::encode(array)
            .map_err(|reason| Error::file(name, format!("array `{key}`: {reason}")))?;
        entries.push((format!("{key}.npy"), content));
    }
    zip::archive(&entries).map_err(|reason| Error::file(name, reason))
}
