//! Named tensors and metadata in one safetensors file, written whole or not at all.
//!
//! The bytes are a function of the contents alone (names in order, metadata in order), so that two
//! equal states have equal hashes. Any safetensors reader of any language reads the file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::files;

/// Tensors by name, with metadata.
#[derive(Clone, Debug, Default)]
pub struct TensorFile {
    /// The tensors, on the CPU.
    pub tensors: BTreeMap<String, Tensor>,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Naming the file: if it cannot be read, or is no complete safetensors file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display();
        let bytes = fs::read(path).map_err(|err| Error::from(err).in_file(&name))?;
        Self::from_bytes(name, &bytes)
    }

    /// Reads a file's bytes; errors call the file `name`.
    ///
    /// # Errors
    ///
    /// Naming the file: if it is no complete safetensors file.
    pub fn from_bytes(name: impl std::fmt::Display, bytes: &[u8]) -> Result<Self> {
        parse(bytes).map_err(|err| err.in_file(name))
    }

    /// Writes the file through a sibling that replaces it only when complete.
    ///
    /// # Errors
    ///
    /// Naming the file: if the disk is full or not writable. An older file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let written = files::replace(path, |out| self.write(out));
        written.map_err(|err: Error| err.in_file(path.display()))
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// If a tensor is not of type f32, f64, u8, u32 or i64.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        let entries = self.tensors.iter().map(|(key, tensor)| Entry {
            key,
            dtype: tensor.dtype(),
            shape: tensor.dims(),
        });
        write_header(out, &self.metadata, entries)?;
        for tensor in self.tensors.values() {
            write_data(out, &tensor.flatten_all()?.to_device(&Device::Cpu)?)?;
        }
        Ok(())
    }
}

/// A tensor as a file's header lists it.
pub(crate) struct Entry<'a> {
    pub key: &'a str,
    pub dtype: DType,
    pub shape: &'a [usize],
}

/// Writes the beginning of a file; the elements of its tensors follow in this order.
///
/// # Errors
///
/// If a tensor has a type without a name in the format, or writing fails.
pub(crate) fn write_header<'a>(
    out: &mut dyn Write,
    metadata: &BTreeMap<String, String>,
    entries: impl Iterator<Item = Entry<'a>>,
) -> Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut offset = 0;
    for Entry { key, dtype, shape } in entries {
        let end = offset + shape.iter().product::<usize>() * dtype.size_in_bytes();
        let dtype = dtype_name(key, dtype)?;
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [offset, end]});
        header.insert(key.to_owned(), entry);
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The format requires data aligned to 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    Ok(out.write_all(&header)?)
}

fn parse(bytes: &[u8]) -> Result<TensorFile> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut tensors = BTreeMap::new();
    for (key, view) in SafeTensors::deserialize(bytes)?.tensors() {
        let known =
            [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64, Dtype::U8, Dtype::U32, Dtype::I64];
        if !known.contains(&view.dtype()) {
            return Err(Error::Dtype { key, dtype: format!("{:?}", view.dtype()) });
        }
        // A tensor with an empty axis has no elements, but its strides are products of the others.
        let strides = view.shape().iter().try_fold(1usize, |it, &n| it.checked_mul(n.max(1)));
        if strides.is_none() {
            return Err(Error::TooLarge { key, found: view.shape().to_vec() });
        }
        let tensor = view.load(&Device::Cpu)?;
        tensors.insert(key, tensor);
    }
    Ok(TensorFile { tensors, metadata })
}

fn dtype_name(key: &str, dtype: DType) -> Result<&'static str> {
    Ok(match dtype {
        DType::F32 => "F32",
        DType::F64 => "F64",
        DType::U8 => "U8",
        DType::U32 => "U32",
        DType::I64 => "I64",
        other => {
            return Err(Error::Dtype { key: key.to_owned(), dtype: other.as_str().to_owned() });
        }
    })
}

/// Writes the elements of a flat tensor on the CPU.
///
/// # Errors
///
/// If its type has no name in the format, or writing fails.
pub(crate) fn write_data(out: &mut dyn Write, flat: &Tensor) -> Result<()> {
    fn put<T: Copy, const N: usize>(
        out: &mut dyn Write,
        numbers: Vec<T>,
        bytes: impl Fn(T) -> [u8; N],
    ) -> Result<()> {
        let bytes: Vec<u8> = numbers.into_iter().flat_map(bytes).collect();
        Ok(out.write_all(&bytes)?)
    }
    match flat.dtype() {
        DType::F32 => put(out, flat.to_vec1()?, f32::to_le_bytes),
        DType::F64 => put(out, flat.to_vec1()?, f64::to_le_bytes),
        DType::U8 => put(out, flat.to_vec1()?, u8::to_le_bytes),
        DType::U32 => put(out, flat.to_vec1()?, u32::to_le_bytes),
        DType::I64 => put(out, flat.to_vec1()?, i64::to_le_bytes),
        other => Err(Error::Dtype { key: String::new(), dtype: other.as_str().to_owned() }),
    }
}
