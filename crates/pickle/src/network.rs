//! Networks pickled as objects: EDM's and StyleGAN's files, and PyTorch's own modules.
//!
//! A module of EDM is a call of `_reconstruct_persistent_obj` with one dictionary: the text of the
//! Python module that defines the class (`module_src`), the name of the class, and the state.
//! Python's loader runs that text. This crate hashes and drops it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::{PickleError, Result, quote};
use super::globals;
use super::plain::Plain;
use super::tensor::StoredTensor;
use super::tensors::Tensors;
use super::to_plain::to_plain;
use super::value::{Id, Node};
use super::walk::Walk;

/// Steps charged for a module, in addition to its names and values.
const MODULE_BYTES: usize = size_of::<PickledModule>();

/// A network of a file.
#[derive(Clone, Debug)]
pub struct PickledNetwork {
    /// Key of the network in the file, such as `ema`; empty if it is the whole file.
    pub key: String,
    /// Modules, each before its children. The first is the network itself.
    pub modules: Vec<PickledModule>,
    /// Parameters and persistent buffers, in the order of `state_dict()`.
    pub tensors: Vec<StoredTensor>,
}

/// A module of a network.
#[derive(Clone, Debug)]
pub struct PickledModule {
    /// Path in the network, such as `model.enc.32x32_conv`; empty for the network itself.
    pub path: String,
    /// Name of the class. PyTorch's own classes include the module's name.
    pub class_name: String,
    /// BLAKE3 of the Python text that defines the class, in hexadecimal digits.
    pub source_hash: Option<Arc<str>>,
    /// Positional constructor arguments, a tuple.
    pub init_args: Plain,
    /// Named constructor arguments, a dictionary.
    pub init_kwargs: Plain,
    /// Other attributes without a leading underscore, such as `sigma_data`; a dictionary.
    pub attributes: Plain,
}

/// An instance of a class other than a network, such as a loss.
#[derive(Clone, Debug)]
pub struct PickledObject {
    /// Key of the object in the file, such as `loss_fn`.
    pub key: String,
    /// Name of the class.
    pub class_name: String,
    /// BLAKE3 of the Python text that defines the class, in hexadecimal digits.
    pub source_hash: Option<Arc<str>>,
    /// Attributes, a dictionary.
    pub state: Plain,
}

impl PickledNetwork {
    /// The network as a module: its class and constructor arguments.
    pub fn root(&self) -> &PickledModule {
        &self.modules[0]
    }
}

/// An instance of a class.
pub(super) struct Instance {
    class_name: String,
    source: Option<Id>,
    state: Id,
}

impl Instance {
    /// Reads the value if it is a persistent object of EDM or a module of PyTorch.
    pub(super) fn of(walk: &Walk<'_>, id: Id) -> Result<Option<Self>> {
        let persistent = ("torch_utils.persistence", "_reconstruct_persistent_obj");
        if let Some(args) = walk.args_of(id, persistent.0, persistent.1) {
            let &[meta] = args else {
                return Err(walk.malformed(id, "a persistent object needs exactly one argument"));
            };
            let kind = walk.require(meta, "type")?;
            if walk.text(kind) != Some("class") {
                return Err(walk.malformed(kind, "a persistent object whose type is not `class`"));
            }
            let name = walk.require(meta, "class_name")?;
            let class_name = walk.text(name);
            let class_name =
                class_name.ok_or_else(|| walk.malformed(name, "a class name that is not text"))?;
            walk.spend(name, class_name.len())?;
            let source = Some(walk.require(meta, "module_src")?);
            let state = walk.require(meta, "state")?;
            return Ok(Some(Self { class_name: class_name.to_owned(), source, state }));
        }
        let (Some((module, name)), Some(object)) = (walk.class(id), walk.object(id)) else {
            return Ok(None);
        };
        let Some(state) = object.state.filter(|_| globals::is_torch_module(module)) else {
            return Ok(None);
        };
        Ok(Some(Self { class_name: format!("{module}.{name}"), source: None, state }))
    }

    /// True if it has parameters and modules, as networks do and losses do not.
    pub(super) fn is_module(&self, walk: &Walk<'_>) -> Result<bool> {
        let parts = [walk.get(self.state, "_parameters")?, walk.get(self.state, "_modules")?];
        Ok(parts.iter().all(Option::is_some))
    }
}

/// Reads the networks of one pickle. Each Python source is hashed once.
pub(super) struct Networks<'t, 'w> {
    walk: &'w Walk<'w>,
    tensors: &'t mut Tensors<'w>,
    hashes: HashMap<Id, Arc<str>>,
}

impl<'t, 'w> Networks<'t, 'w> {
    pub(super) fn new(walk: &'w Walk<'w>, tensors: &'t mut Tensors<'w>) -> Self {
        Self { walk, tensors, hashes: HashMap::new() }
    }

    /// True if the value is a tensor or a parameter.
    pub(super) fn is_tensor(&self, id: Id) -> bool {
        self.tensors.is_tensor(id)
    }

    /// Reads an object that is not a network.
    pub(super) fn object(&mut self, key: String, instance: Instance) -> Result<PickledObject> {
        let source_hash = self.hash(instance.source)?;
        let state = to_plain(self.walk, instance.state)?;
        Ok(PickledObject { key, class_name: instance.class_name, source_hash, state })
    }

    /// Reads the network whose outermost module is `root`.
    pub(super) fn network(&mut self, key: String, root: Id) -> Result<PickledNetwork> {
        let walk = self.walk;
        let mut network = PickledNetwork { key, modules: Vec::new(), tensors: Vec::new() };
        let mut names = HashSet::new();
        let mut open = vec![(root, String::new(), 0)];
        while let Some((id, path, depth)) = open.pop() {
            if walk.limits.depth < depth {
                let limit = walk.limits.depth as u64;
                return Err(walk.over(id, "modules inside each other (or a cycle)", limit));
            }
            walk.spend(id, MODULE_BYTES)?;
            let Some(instance) = Instance::of(walk, id)? else {
                let reason = format!("module `{}` is {}", quote(&path), walk.describe(id));
                return Err(walk.malformed(id, reason));
            };
            for (name, tensor) in self.own_tensors(&instance)? {
                let name = walk.join(tensor, &path, name)?;
                if !names.insert(name.clone()) {
                    return Err(twice(walk, tensor, &name));
                }
                network.tensors.push(self.tensors.tensor(tensor, name)?);
            }
            let modules = walk.require(instance.state, "_modules")?;
            let mut inner = Vec::new();
            for &(name, module) in entries(walk, modules, "_modules")? {
                if *walk.node(module) != Node::None {
                    let name = text(walk, name)?;
                    inner.push((module, walk.join(module, &path, name)?, depth + 1));
                }
            }
            // The stack returns the last one first.
            open.extend(inner.into_iter().rev());
            network.modules.push(self.module(path, instance)?);
        }
        Ok(network)
    }

    /// Parameters and persistent buffers of a module by name, excluding its children.
    fn own_tensors(&self, instance: &Instance) -> Result<Vec<(&'w str, Id)>> {
        let walk = self.walk;
        let mut hidden = HashSet::new();
        if let Some(set) = walk.get(instance.state, "_non_persistent_buffers_set")? {
            for name in to_plain(walk, set)?.root().items().into_iter().flatten() {
                hidden.extend(name.as_str().map(str::to_owned));
            }
        }
        let mut found = Vec::new();
        for kind in ["_parameters", "_buffers"] {
            let Some(group) = walk.get(instance.state, kind)? else { continue };
            for &(name, tensor) in entries(walk, group, kind)? {
                let name = text(walk, name)?;
                let is_hidden = kind == "_buffers" && hidden.contains(name);
                if !is_hidden && *walk.node(tensor) != Node::None {
                    found.push((name, tensor));
                }
            }
        }
        Ok(found)
    }

    fn module(&mut self, path: String, instance: Instance) -> Result<PickledModule> {
        let walk = self.walk;
        let argument = |name: &str, default: Plain| match walk.get(instance.state, name)? {
            Some(id) => to_plain(walk, id),
            None => Ok(default),
        };
        let init_args = argument("_init_args", Plain::tuple([]))?;
        let init_kwargs = argument("_init_kwargs", Plain::dict::<Plain>([]))?;
        let mut attributes = Vec::new();
        for &(name, value) in entries(walk, instance.state, "a module's state")? {
            let name = text(walk, name)?;
            if !name.starts_with('_') {
                walk.spend(value, name.len() + size_of::<Plain>())?;
                attributes.push((Plain::from(name), to_plain(walk, value)?));
            }
        }
        let source_hash = self.hash(instance.source)?;
        let attributes = Plain::dict(attributes);
        let class_name = instance.class_name;
        Ok(PickledModule { path, class_name, source_hash, init_args, init_kwargs, attributes })
    }

    fn hash(&mut self, source: Option<Id>) -> Result<Option<Arc<str>>> {
        let Some(id) = source else { return Ok(None) };
        if let Some(hash) = self.hashes.get(&id) {
            return Ok(Some(Arc::clone(hash)));
        }
        let Some(source) = self.walk.text(id) else {
            return Err(self.walk.malformed(id, "a class source that is not text"));
        };
        let hash: Arc<str> = blake3::hash(source.as_bytes()).to_hex().as_str().into();
        self.hashes.insert(id, Arc::clone(&hash));
        Ok(Some(hash))
    }
}

/// The entries of a dictionary; any other value is an error.
fn entries<'w>(walk: &Walk<'w>, id: Id, what: &str) -> Result<&'w [(Id, Id)]> {
    let entries = walk.entries(id);
    let entries =
        entries.ok_or_else(|| walk.malformed(id, format!("{what} is {}", walk.describe(id))))?;
    walk.spend(id, size_of_val(entries))?;
    Ok(entries)
}

/// The text of a name; any other value is an error.
fn text<'w>(walk: &Walk<'w>, id: Id) -> Result<&'w str> {
    walk.text(id).ok_or_else(|| walk.malformed(id, format!("a name that is {}", walk.describe(id))))
}

/// The error of two tensors with the same name.
pub(super) fn twice(walk: &Walk<'_>, id: Id, name: &str) -> PickleError {
    PickleError::Tensor {
        file: walk.file.to_owned(),
        at: walk.at(id),
        tensor: quote(name),
        reason: "named twice; do not use this file".to_owned(),
    }
}
