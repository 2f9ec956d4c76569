//! Values of a pickle in one arena.
//!
//! A value refers to others by index. A cycle is therefore only an index of an earlier value,
//! millions of nested lists are dropped as one vector, and no function is recursive.

use std::borrow::Cow;
use std::ops::Range;

use super::error::{PickleError, Result};
use super::limits::Limits;

/// Index of a value in its [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u32);

/// One value; `'a` is the lifetime of the pickle's bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'a> {
    /// `None`.
    None,
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A longer integer.
    Long(Box<i128>),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Position of bytes in the file.
    Bytes(Range<usize>),
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dictionary in insertion order. The last of several entries with the same key wins.
    Dict(Vec<(Id, Id)>),
    /// A set or a frozen set.
    Set(Vec<Id>),
    /// Module and name of a Python object, which is never looked up.
    Global(Box<(Cow<'a, str>, Cow<'a, str>)>),
    /// Record of a call.
    Object(Box<Object>),
    /// A reference outside the pickle, such as to a storage.
    Persistent(Id),
}

/// Record of a call, and of the changes to its result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    /// The callable.
    pub callable: Id,
    /// The tuple of arguments.
    pub args: Id,
    /// Named arguments.
    pub kwargs: Option<Id>,
    /// Argument of `__setstate__`.
    pub state: Option<Id>,
    /// Entries that are set, as of a dictionary.
    pub entries: Vec<(Id, Id)>,
    /// Items that are appended, as to a list.
    pub items: Vec<Id>,
}

/// A value with its position and depth.
#[derive(Clone, Debug)]
struct Slot<'a> {
    node: Node<'a>,
    at: usize,
    depth: usize,
}

/// All values of one pickle.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena<'a> {
    slots: Vec<Slot<'a>>,
    allocated: u64,
}

/// Bytes charged for a value, in addition to its content.
const SLOT_BYTES: u64 = size_of::<Slot<'static>>() as u64;

impl<'a> Arena<'a> {
    /// The value; `id` must come from this arena.
    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        &self.slots[id.0 as usize].node
    }

    /// Position of the opcode that made the value, in bytes from the start of the file.
    pub(super) fn offset(&self, id: Id) -> usize {
        self.slots[id.0 as usize].at
    }

    /// All values in order of creation, including values that the root does not reach.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Node<'a>)> {
        (0..).map(Id).zip(self.slots.iter().map(|slot| &slot.node))
    }

    /// Module and name, for a name or for a class that a legacy file wraps into
    /// `('module', class, path, source)`, by which PyTorch detects changes of the source.
    pub(super) fn name(&self, id: Id) -> Option<(&str, &str)> {
        let id = match self.node(id) {
            Node::Persistent(tuple) => match self.node(*tuple) {
                Node::Tuple(items) => match items[..] {
                    [kind, class, ..] if *self.node(kind) == Node::Text("module".into()) => class,
                    _ => return None,
                },
                _ => return None,
            },
            _ => id,
        };
        if let Node::Global(name) = self.node(id) { Some((&name.0, &name.1)) } else { None }
    }

    /// Levels of nesting below the value, including itself.
    pub(super) fn depth(&self, id: Id) -> usize {
        self.slots[id.0 as usize].depth
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node<'a> {
        &mut self.slots[id.0 as usize].node
    }

    /// Adds a value of `payload` bytes that refers to values of depth `below` at most.
    pub(super) fn push(
        &mut self,
        gauge: &Gauge<'_>,
        node: Node<'a>,
        payload: usize,
        below: usize,
    ) -> Result<Id> {
        self.charge(gauge, SLOT_BYTES + payload as u64)?;
        gauge.check_depth(below + 1)?;
        let id = u32::try_from(self.slots.len()).map_err(|_| gauge.over("values", 1 << 32))?;
        self.slots.push(Slot { node, at: gauge.at, depth: below + 1 });
        Ok(Id(id))
    }

    /// Updates the depth of a value that has received parts of depth `below`.
    pub(super) fn deepen(&mut self, gauge: &Gauge<'_>, id: Id, below: usize) -> Result<()> {
        gauge.check_depth(below + 1)?;
        let slot = &mut self.slots[id.0 as usize];
        slot.depth = slot.depth.max(below + 1);
        Ok(())
    }

    /// Charges bytes that are about to be allocated.
    pub(super) fn charge(&mut self, gauge: &Gauge<'_>, bytes: u64) -> Result<()> {
        self.allocated = self.allocated.saturating_add(bytes);
        let limit = gauge.limits.allocated;
        if limit < self.allocated { Err(gauge.over("bytes of values", limit)) } else { Ok(()) }
    }
}

/// Position of the reader, and its limits.
pub(super) struct Gauge<'m> {
    pub(super) file: &'m str,
    pub(super) at: usize,
    pub(super) limits: &'m Limits,
}

impl Gauge<'_> {
    /// The error of an exceeded limit.
    pub(super) fn over(&self, what: &'static str, limit: u64) -> PickleError {
        PickleError::Limit { file: self.file.to_owned(), at: self.at, what, limit }
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        let limit = self.limits.depth;
        if limit < depth { Err(self.over("levels of nesting", limit as u64)) } else { Ok(()) }
    }
}
