//! The zip files of `torch.save`.

use std::io::{Seek, Write};

use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::super::dtype::Dtype;
use super::super::error::{PickleError, Result};
use super::tensor::{TensorSpec, check_bytes, storage_id};
use super::{Pickler, Protocol};

/// Alignment of storages in bytes, as in PyTorch, for memory maps.
const ALIGNMENT: u16 = 64;

/// Folder of all entries.
const FOLDER: &str = "archive";

/// Writer of a state dict for `torch.load(path, weights_only=True)`, one tensor at a time.
///
/// Keeps only the descriptions of the tensors in memory.
pub struct StateDictWriter<W: Write + Seek> {
    file: String,
    zip: ZipWriter<W>,
    tensors: Vec<(String, TensorSpec, usize)>,
}

impl<W: Write> StateDictWriter<StreamWriter<W>> {
    /// Starts a file on an output that cannot seek.
    pub fn streaming(out: W, file: &str) -> Self {
        Self { file: file.to_owned(), zip: ZipWriter::new_stream(out), tensors: Vec::new() }
    }
}

impl<W: Write + Seek> StateDictWriter<W> {
    /// Starts a file; errors call it `file`.
    pub fn new(out: W, file: &str) -> Self {
        Self { file: file.to_owned(), zip: ZipWriter::new(out), tensors: Vec::new() }
    }

    /// Writes a tensor from its little-endian elements in row-major order.
    ///
    /// # Errors
    ///
    /// If the number of bytes does not match the shape, or the output fails.
    pub fn tensor(
        &mut self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<()> {
        check_bytes(name, dtype, shape, bytes.len())?;
        self.entry(&format!("data/{}", self.tensors.len()), bytes)?;
        let view = TensorSpec::new(dtype, shape, []);
        self.tensors.push((name.to_owned(), view, bytes.len()));
        Ok(())
    }

    /// Writes the object and ends the file.
    ///
    /// # Errors
    ///
    /// If the output fails.
    pub fn finish(mut self) -> Result<W> {
        let mut object = Pickler::new(Protocol::Two);
        object.ordered_dict();
        object.entries(self.tensors.len(), |object, index| {
            let (name, tensor, bytes) = &self.tensors[index];
            object.text(name);
            tensor.write(object, |object| {
                storage_id(object, tensor.dtype, &index.to_string(), *bytes)
            })
        })?;
        self.entry("data.pkl", &object.finish())?;
        self.entry("byteorder", b"little")?;
        // The lowest version of the format with all features used here.
        self.entry("version", b"3\n")?;
        let file = self.file;
        self.zip.finish().map_err(|error| PickleError::Io { file, source: error.into() })
    }

    fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .with_alignment(ALIGNMENT)
            .large_file(u32::MAX as usize <= bytes.len());
        let started = self.zip.start_file(format!("{FOLDER}/{name}"), options);
        let written = started.map_err(Into::into).and_then(|()| self.zip.write_all(bytes));
        written.map_err(|source| PickleError::Io { file: self.file.clone(), source })
    }
}
