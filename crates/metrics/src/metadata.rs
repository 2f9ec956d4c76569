//! Entries of a safetensors file's metadata.

use models::{Error, Result, TensorFile};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Makes an entry of plain text.
pub(crate) fn text(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// Makes an entry of JSON.
pub(crate) fn json(key: &'static str, value: &impl Serialize) -> Result<(String, String)> {
    let value = serde_json::to_string(value).map_err(|source| Error::Json { key, source })?;
    Ok((key.to_owned(), value))
}

/// Checks that an entry has the expected value.
pub(crate) fn expect(file: &TensorFile, key: &'static str, expected: &str) -> Result<()> {
    let found = entry(file, key)?;
    if found == expected {
        Ok(())
    } else {
        let (expected, found) = (expected.to_owned(), found.to_owned());
        Err(Error::Metadata { key, expected, found })
    }
}

/// Parses an entry of JSON.
pub(crate) fn parse<T: DeserializeOwned>(file: &TensorFile, key: &'static str) -> Result<T> {
    serde_json::from_str(entry(file, key)?).map_err(|source| Error::Json { key, source })
}

fn entry<'a>(file: &'a TensorFile, key: &'static str) -> Result<&'a str> {
    file.metadata.get(key).map(String::as_str).ok_or(Error::NoMetadata { key })
}
