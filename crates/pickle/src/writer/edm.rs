//! Files in the structure of EDM's pickles.

use std::collections::HashMap;

use super::super::error::Result;
use super::super::plain::Plain;
use super::legacy::legacy_storage;
use super::tensor::TensorSpec;
use super::{Pickler, Protocol};

/// Version of EDM's persistence format.
const VERSION: i128 = 6;

/// First keys of a module's dictionary.
const STATE: [&str; 5] =
    ["training", "_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"];

/// Content of a file.
#[derive(Clone, Debug, Default)]
pub struct EdmFile {
    /// Python source that defines the classes of all objects.
    pub module_src: String,
    /// Networks by key, such as `ema`.
    pub networks: Vec<(String, ModuleSpec)>,
    /// Other objects by key: class and state.
    pub objects: Vec<(String, String, Plain)>,
    /// Dictionaries of tensors by key.
    pub state_dicts: Vec<(String, Vec<(String, TensorSpec)>)>,
    /// Other entries by key.
    pub values: Vec<(String, Plain)>,
}

/// Module to write. The default is an empty `ModuleDict`.
#[derive(Clone, Debug, Default)]
pub struct ModuleSpec {
    /// Class of the module.
    pub class: Class,
    /// Parameters by name; `None` for an absent one, such as the bias of a layer without bias.
    pub parameters: Vec<(String, Option<TensorSpec>)>,
    /// Buffers by name.
    pub buffers: Vec<(String, Option<TensorSpec>)>,
    /// Names of buffers that `state_dict()` leaves out.
    pub hidden_buffers: Vec<String>,
    /// Child modules by name.
    pub modules: Vec<(String, ModuleSpec)>,
    /// Other attributes by name.
    pub attributes: Vec<(String, Plain)>,
}

/// Class of a module.
#[derive(Clone, Debug)]
pub enum Class {
    /// A class whose Python source is in the file.
    Persistent {
        /// Name of the class.
        name: String,
        /// Named constructor arguments, a dictionary.
        init_kwargs: Plain,
    },
    /// A class of PyTorch.
    Torch {
        /// Python module of the class, such as `torch.nn.modules.container`.
        module: &'static str,
        /// Name of the class.
        name: &'static str,
    },
}

impl Default for Class {
    fn default() -> Self {
        Self::Torch { module: "torch.nn.modules.container", name: "ModuleDict" }
    }
}

impl ModuleSpec {
    /// A network of this class with the modules that the names of its parameters imply:
    /// `model.conv.weight` is parameter `weight` of module `conv` of module `model`.
    pub fn of_tensors(
        class: Class,
        tensors: impl IntoIterator<Item = (String, TensorSpec)>,
    ) -> Self {
        let mut root = Self { class, ..Self::default() };
        for (key, tensor) in tensors {
            let (path, own) = key.rsplit_once('.').unwrap_or(("", &key));
            let mut module = &mut root;
            for part in path.split('.').filter(|it| !it.is_empty()) {
                let found = module.modules.iter().position(|it| it.0 == part);
                let index = found.unwrap_or_else(|| {
                    module.modules.push((part.to_owned(), Self::default()));
                    module.modules.len() - 1
                });
                module = &mut module.modules[index].1;
            }
            module.parameters.push((own.to_owned(), Some(tensor)));
        }
        root
    }
}

/// Writes a file: a single pickle of protocol 4.
///
/// # Errors
///
/// If a value is not plain, or a storage ends inside an element.
pub fn write_edm(file: &EdmFile) -> Result<Vec<u8>> {
    let mut pickler = Pickler::new(Protocol::Four);
    let mut shared = Shared { source: &file.module_src, storages: HashMap::new() };
    let before_objects = file.networks.len();
    let before_dicts = before_objects + file.objects.len();
    let before_values = before_dicts + file.state_dicts.len();
    pickler.dict();
    pickler.entries(before_values + file.values.len(), |pickler, index| {
        if let Some((key, module)) = file.networks.get(index) {
            pickler.text(key);
            return shared.module(pickler, module);
        }
        if let Some((key, class, state)) = file.objects.get(index - before_objects) {
            pickler.text(key);
            return shared.persistent(pickler, class, |_, pickler| pickler.plain(state));
        }
        if let Some((key, tensors)) = file.state_dicts.get(index - before_dicts) {
            pickler.text(key);
            pickler.dict();
            return pickler.entries(tensors.len(), |pickler, index| {
                let (name, tensor) = &tensors[index];
                pickler.text(name);
                shared.tensor(pickler, tensor)
            });
        }
        let (key, value) = &file.values[index - before_values];
        pickler.text(key);
        pickler.plain(value)
    })?;
    Ok(pickler.finish())
}

/// State shared by the objects of one file.
struct Shared<'f> {
    source: &'f str,
    /// Memo numbers of storages by the address of their bytes.
    storages: HashMap<*const u8, u32>,
}

impl Shared<'_> {
    /// Writes an object whose class is in the file; `state` writes its state.
    fn persistent(
        &mut self,
        pickler: &mut Pickler,
        class: &str,
        state: impl Fn(&mut Self, &mut Pickler) -> Result<()>,
    ) -> Result<()> {
        let name = ("torch_utils.persistence", "_reconstruct_persistent_obj");
        pickler.call(name, 1, |pickler| {
            pickler.dict();
            pickler.entries(5, |pickler, index| {
                pickler.text(["type", "version", "module_src", "class_name", "state"][index]);
                match index {
                    0 => pickler.text("class"),
                    1 => pickler.int(VERSION),
                    2 => pickler.text(self.source),
                    3 => pickler.text(class),
                    _ => return state(self, pickler),
                }
                Ok(())
            })
        })
    }

    fn module(&mut self, pickler: &mut Pickler, module: &ModuleSpec) -> Result<()> {
        match &module.class {
            Class::Persistent { name, .. } => {
                self.persistent(pickler, name, |shared, pickler| shared.state(pickler, module))
            }
            Class::Torch { module: path, name } => {
                pickler.instance((path, name));
                self.state(pickler, module)?;
                pickler.build();
                Ok(())
            }
        }
    }

    /// Writes the dictionary of a module.
    fn state(&mut self, pickler: &mut Pickler, module: &ModuleSpec) -> Result<()> {
        let mut plain = module.attributes.clone();
        if let Class::Persistent { init_kwargs, .. } = &module.class {
            plain.push(("_init_args".to_owned(), Plain::tuple([])));
            plain.push(("_init_kwargs".to_owned(), init_kwargs.clone()));
        }
        let hidden = module.hidden_buffers.iter().map(|name| name.as_str().into());
        let hidden = Plain::set(hidden);
        pickler.dict();
        pickler.entries(STATE.len() + plain.len(), |pickler, index| {
            if let Some((name, value)) = index.checked_sub(STATE.len()).map(|it| &plain[it]) {
                pickler.text(name);
                return pickler.plain(value);
            }
            pickler.text(STATE[index]);
            match index {
                0 => pickler.bool(true),
                1 => self.tensors(pickler, &module.parameters, true)?,
                2 => self.tensors(pickler, &module.buffers, false)?,
                3 => pickler.plain(&hidden)?,
                _ => {
                    pickler.ordered_dict();
                    pickler.entries(module.modules.len(), |pickler, index| {
                        let (name, module) = &module.modules[index];
                        pickler.text(name);
                        self.module(pickler, module)
                    })?;
                }
            }
            Ok(())
        })
    }

    fn tensors(
        &mut self,
        pickler: &mut Pickler,
        tensors: &[(String, Option<TensorSpec>)],
        are_parameters: bool,
    ) -> Result<()> {
        pickler.ordered_dict();
        pickler.entries(tensors.len(), |pickler, index| {
            let (name, tensor) = &tensors[index];
            pickler.text(name);
            match tensor {
                None => pickler.none(),
                Some(tensor) if !are_parameters => self.tensor(pickler, tensor)?,
                Some(tensor) => {
                    pickler.call(("torch._utils", "_rebuild_parameter"), 3, |pickler| {
                        self.tensor(pickler, tensor)?;
                        pickler.bool(true);
                        pickler.ordered_dict();
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })
    }

    fn tensor(&mut self, pickler: &mut Pickler, tensor: &TensorSpec) -> Result<()> {
        tensor.write(pickler, |pickler| {
            let address = tensor.storage.as_ptr();
            if let Some(&index) = self.storages.get(&address) {
                pickler.get(index);
                return Ok(());
            }
            let bytes = legacy_storage(tensor.dtype, &tensor.storage)?;
            pickler.call(("torch.storage", "_load_from_bytes"), 1, |pickler| {
                pickler.bytes(&bytes);
                Ok(())
            })?;
            self.storages.insert(address, pickler.last());
            Ok(())
        })
    }
}
