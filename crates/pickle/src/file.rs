//! The bytes of a file, shared by everything read from it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::error::{PickleError, Result};

/// The bytes of a file, with its name in errors. A clone shares the bytes.
#[derive(Clone)]
pub struct FileBytes {
    name: Arc<str>,
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
}

impl FileBytes {
    /// Wraps bytes of any source: a vector, a memory map. They must not change.
    pub fn new(name: &str, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), bytes: Arc::new(bytes) }
    }

    /// Reads a file into memory.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        match fs::read(path) {
            Ok(bytes) => Ok(Self::new(&name, bytes)),
            Err(source) => Err(PickleError::Io { file: name, source }),
        }
    }

    /// Name of the file in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }
}

impl AsRef<[u8]> for FileBytes {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes().len())
    }
}
