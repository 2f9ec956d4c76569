//! The zip files of `torch.save`.

use std::io::{Seek, Write};

use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::super::dtype::Dtype;
use super::super::error::{PickleError, Result};
use super::tensor::{TensorSpec, check_bytes, storage_id};
use super::{Pickler, Protocol};

/// PyTorch aligns storages to this, so that they can be mapped into memory.
const ALIGNMENT: u16 = 64;

/// The folder of all entries.
const FOLDER: &str = "archive";

/// Writes a state dict that `torch.load(path, weights_only=True)` reads, one tensor at a time.
///
/// Only what the object says about each tensor is kept in memory.
pub struct StateDictWriter<W: Write + Seek> {
    file: String,
    zip: ZipWriter<W>,
    tensors: Vec<(String, TensorSpec, usize)>,
}

impl<W: Write> StateDictWriter<StreamWriter<W>> {
    /// Starts a file that is written from front to back, such as one that is then renamed.
    pub fn streaming(out: W, file: &str) -> Self {
        Self { file: file.to_owned(), zip: ZipWriter::new_stream(out), tensors: Vec::new() }
    }
}

impl<W: Write + Seek> StateDictWriter<W> {
    /// Starts a file; `file` is what errors call it.
    pub fn new(out: W, file: &str) -> Self {
        Self { file: file.to_owned(), zip: ZipWriter::new(out), tensors: Vec::new() }
    }

    /// Writes a tensor, its elements last axis fastest and little-endian.
    ///
    /// # Errors
    ///
    /// If the shape has another number of bytes, or the disk fails.
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
    /// If the disk fails.
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
        // The version of the format that has no features beyond these.
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
