//! The bytes of a file, shared by all that is read from it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::error::{PickleError, Result};

/// A file's bytes and the name by which errors call it; a clone shares the bytes.
#[derive(Clone)]
pub struct FileBytes {
    name: Arc<str>,
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
}

impl FileBytes {
    /// Takes bytes from wherever they are: a vector, a memory map. They must stay as they are.
    pub fn new(name: &str, bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self { name: name.into(), bytes: Arc::new(bytes) }
    }

    /// Reads a file, once its size in memory.
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

    /// What errors call the file.
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
