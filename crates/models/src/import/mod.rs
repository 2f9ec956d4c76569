//! Networks of other programs as ours: EDM's pickles and PyTorch's state dicts.
//!
//! The names of tensors are EDM's here as there, so nothing is renamed; what there is to do is to
//! understand the configuration, and to check every tensor against it. Tensors are read from the
//! source one at a time, so that converting a file takes little more memory than the file.

mod options;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::files;
use crate::layout::Layout;
use crate::network::{NetworkConfig, NetworkFile, Provenance, Role};
use crate::tensor_file;
use pickle::{PickledNetwork, StateDict, StoredTensor};

/// A network in a file of another program.
pub struct Import<'a> {
    /// Configuration.
    pub config: NetworkConfig,
    /// Origin, to be kept in our file.
    pub provenance: Provenance,
    layout: Layout,
    /// The tensors of the source under our names.
    tensors: HashMap<Cow<'a, str>, &'a StoredTensor>,
}

impl<'a> Import<'a> {
    /// A network that was pickled as an object of EDM's classes, its configuration included.
    ///
    /// The provenance gets the class, and the hash of the Python text that defines it.
    ///
    /// # Errors
    ///
    /// Naming the class or the argument that no network here has, or the tensor that is missing, in
    /// excess or of another shape.
    pub fn of_network(network: &'a PickledNetwork) -> Result<Self> {
        let root = network.root();
        let mut provenance = Provenance::default();
        provenance.entries.insert("source_class".to_owned(), root.class_name.clone());
        if let Some(hash) = &root.source_hash {
            provenance.entries.insert("source_class_blake3".to_owned(), hash.to_string());
        }
        let tensors = network.tensors.iter().map(|it| (Cow::Borrowed(it.name.as_str()), it));
        Self::new(options::config(root)?, provenance, tensors.collect())
    }

    /// A network whose weights alone are in the file, of a configuration that is known otherwise.
    ///
    /// Names may have `module.` before them, as data parallel training leaves it, or lack the
    /// `model.` of EDM's outermost module.
    ///
    /// # Errors
    ///
    /// Naming the tensor that is missing, in excess or of another shape.
    pub fn of_state_dict(dict: &'a StateDict, config: NetworkConfig) -> Result<Self> {
        let layout = config.layout()?;
        let is_known = |name: &str| layout.0.contains_key(name);
        let renamed = |rename: fn(&str) -> Cow<'_, str>| {
            dict.tensors.iter().map(move |it| (rename(&it.name), it)).collect::<HashMap<_, _>>()
        };
        let found = RENAMES
            .map(renamed)
            .into_iter()
            .find(|names| {
                names.len() == dict.tensors.len() && names.keys().all(|name| is_known(name))
            })
            // Under their own names, so that errors say those.
            .unwrap_or_else(|| renamed(RENAMES[0]));
        Self::new(config, Provenance::default(), found)
    }

    fn new(
        config: NetworkConfig,
        provenance: Provenance,
        tensors: HashMap<Cow<'a, str>, &'a StoredTensor>,
    ) -> Result<Self> {
        let layout = config.layout()?;
        let shapes = tensors.iter().map(|(name, it)| (name.as_ref(), it.shape()));
        layout.check_shapes(&shapes.collect())?;
        Ok(Self { config, provenance, layout, tensors })
    }

    /// The tensor of this name, checked: finite, and if it is a constant, the right one.
    fn tensor(&self, name: &str) -> Result<Tensor> {
        match self.tensors.get(name) {
            Some(stored) => self.layout.admit(name, &read(stored)?),
            None => self.layout.constant(name),
        }
    }

    /// Writes our file, tensor by tensor; an older one is replaced when it is complete.
    ///
    /// # Errors
    ///
    /// Naming the file if it cannot be written, or the tensor that is not finite or not readable;
    /// an older file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        files::replace(path, |out| self.write(out))
            .map_err(|err: Error| err.in_file(path.display()))
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        let metadata = NetworkFile::metadata(&self.config, Role::Teacher, &self.provenance)?;
        let entries = self.layout.0.iter().map(|(key, spec)| tensor_file::Entry {
            key,
            dtype: DType::F32,
            shape: &spec.shape,
        });
        tensor_file::write_header(out, &metadata, entries)?;
        for name in self.layout.0.keys() {
            tensor_file::write_data(out, &self.tensor(name)?.flatten_all()?)?;
        }
        Ok(())
    }

    /// The network in memory.
    ///
    /// # Errors
    ///
    /// Naming the tensor that is not finite or not readable.
    pub fn to_file(&self) -> Result<NetworkFile> {
        let tensors = self.tensors.iter().map(|(name, it)| Ok((name.to_string(), read(it)?)));
        let params = self.layout.fill(&tensors.collect::<Result<_>>()?)?;
        Ok(NetworkFile {
            config: self.config.clone(),
            params,
            role: Role::Teacher,
            provenance: self.provenance.clone(),
        })
    }
}

/// The elements of a stored tensor, in f32.
fn read(stored: &StoredTensor) -> Result<Tensor> {
    Ok(Tensor::from_vec(stored.to_f32()?, stored.shape(), &Device::Cpu)?)
}

/// Ways in which the names of a state dict differ from EDM's, the most likely first.
const RENAMES: [fn(&str) -> Cow<'_, str>; 4] = [
    |name| Cow::Borrowed(name),
    |name| Cow::Borrowed(name.strip_prefix("module.").unwrap_or(name)),
    |name| Cow::Owned(format!("model.{name}")),
    |name| Cow::Owned(format!("model.{}", name.strip_prefix("module.").unwrap_or(name))),
];
