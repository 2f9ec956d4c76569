//! Access to the values of a pickle with a bound on the work.
//!
//! References let a file of a kilobyte describe a tree of 2⁶⁰ leaves. Every visited entry and every
//! copied byte of a name is therefore charged to one budget.

use std::cell::Cell;

use super::error::{PickleError, Result, malformed, quote};
use super::globals;
use super::limits::Limits;
use super::machine::Document;
use super::value::{Id, Node, Object};

/// A pickle during interpretation.
pub(super) struct Walk<'w> {
    pub(super) file: &'w str,
    pub(super) document: &'w Document<'w>,
    /// The bytes that the spans of byte strings refer to.
    pub(super) bytes: &'w [u8],
    pub(super) limits: &'w Limits,
    left: Cell<u64>,
}

impl<'w> Walk<'w> {
    pub(super) fn new(
        file: &'w str,
        document: &'w Document<'w>,
        bytes: &'w [u8],
        limits: &'w Limits,
    ) -> Self {
        Self { file, document, bytes, limits, left: Cell::new(limits.walk) }
    }

    /// Charges `steps` for visiting `id`.
    pub(super) fn spend(&self, id: Id, steps: usize) -> Result<()> {
        match self.left.get().checked_sub(steps as u64) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.over(id, "steps of interpretation", self.limits.walk)),
        }
    }

    /// The error of an exceeded limit.
    pub(super) fn over(&self, id: Id, what: &'static str, limit: u64) -> PickleError {
        PickleError::Limit { file: self.file.to_owned(), at: self.at(id), what, limit }
    }

    /// The error of an invalid value.
    pub(super) fn malformed(&self, id: Id, reason: impl Into<String>) -> PickleError {
        malformed(self.file, self.at(id), reason)
    }

    /// The error of a value that Python reads and this reader does not.
    pub(super) fn unsupported(&self, id: Id, what: impl Into<String>) -> PickleError {
        PickleError::Unsupported { file: self.file.to_owned(), at: self.at(id), what: what.into() }
    }

    pub(super) fn node(&self, id: Id) -> &'w Node<'w> {
        self.document.arena.node(id)
    }

    pub(super) fn at(&self, id: Id) -> usize {
        self.document.arena.offset(id)
    }

    pub(super) fn text(&self, id: Id) -> Option<&'w str> {
        if let Node::Text(text) = self.node(id) { Some(text) } else { None }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        if let Node::Int(int) = *self.node(id) { usize::try_from(int).ok() } else { None }
    }

    pub(super) fn global(&self, id: Id) -> Option<(&'w str, &'w str)> {
        self.document.arena.name(id)
    }

    pub(super) fn object(&self, id: Id) -> Option<&'w Object> {
        if let Node::Object(object) = self.node(id) { Some(object) } else { None }
    }

    /// The callable of an object, such as its class.
    pub(super) fn class(&self, id: Id) -> Option<(&'w str, &'w str)> {
        self.global(self.object(id)?.callable)
    }

    /// The arguments, if the value is a call of this name.
    pub(super) fn args_of(&self, id: Id, module: &str, name: &str) -> Option<&'w [Id]> {
        let object = self.object(id)?;
        if self.global(object.callable)? != (module, name) {
            return None;
        }
        self.sequence(object.args)
    }

    /// The items of a list or tuple, including `torch.Size`.
    pub(super) fn sequence(&self, id: Id) -> Option<&'w [Id]> {
        match self.node(id) {
            Node::List(items) | Node::Tuple(items) => Some(items),
            Node::Object(object) if self.global(object.callable)? == ("torch", "Size") => {
                let Node::Tuple(args) = self.node(object.args) else { return None };
                let [items] = args[..] else { return None };
                if let Node::Tuple(items) = self.node(items) { Some(items) } else { None }
            }
            _ => None,
        }
    }

    /// The entries of a dictionary, or of an instance of a dictionary class.
    pub(super) fn entries(&self, id: Id) -> Option<&'w [(Id, Id)]> {
        match self.node(id) {
            Node::Dict(entries) => Some(entries),
            Node::Object(object) => {
                let (module, name) = self.global(object.callable)?;
                globals::is_mapping(module, name).then_some(&object.entries)
            }
            _ => None,
        }
    }

    /// The entry of a dictionary; the last of several with the same key, as in Python.
    pub(super) fn get(&self, id: Id, key: &str) -> Result<Option<Id>> {
        let Some(entries) = self.entries(id) else { return Ok(None) };
        self.spend(id, entries.len())?;
        let found = entries.iter().rev().find(|(it, _)| self.text(*it) == Some(key));
        Ok(found.map(|&(_, value)| value))
    }

    /// A required entry of a dictionary.
    pub(super) fn require(&self, id: Id, key: &str) -> Result<Id> {
        self.get(id, key)?
            .ok_or_else(|| self.malformed(id, format!("a dictionary without `{key}`")))
    }

    /// Joins `path` and `name` as `state_dict()` does.
    pub(super) fn join(&self, id: Id, path: &str, name: &str) -> Result<String> {
        self.spend(id, path.len() + name.len() + 1)?;
        match path {
            "" => Ok(name.to_owned()),
            _ => Ok(format!("{path}.{name}")),
        }
    }

    /// Description of a value for a message.
    pub(super) fn describe(&self, id: Id) -> String {
        match self.node(id) {
            Node::None => "None".to_owned(),
            Node::Bool(_) => "a boolean".to_owned(),
            Node::Int(_) | Node::Long(_) => "an integer".to_owned(),
            Node::Float(_) => "a number".to_owned(),
            Node::Text(_) => "text".to_owned(),
            Node::Bytes(_) => "bytes".to_owned(),
            Node::List(_) => "a list".to_owned(),
            Node::Tuple(_) => "a tuple".to_owned(),
            Node::Dict(_) => "a dictionary".to_owned(),
            Node::Set(_) => "a set".to_owned(),
            Node::Persistent(_) => "a storage".to_owned(),
            Node::Global(name) => quote(&format!("{}.{}", name.0, name.1)),
            Node::Object(_) => match self.class(id) {
                Some((module, name)) => {
                    format!("an object `{}`", quote(&format!("{module}.{name}")))
                }
                None => "an object".to_owned(),
            },
        }
    }
}
