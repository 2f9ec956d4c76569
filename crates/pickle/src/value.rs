//! Values of a pickle, side by side in one arena.
//!
//! A value refers to others by index. So a cycle is only an index that points back, dropping
//! millions of nested lists is dropping one vector, and nothing here calls itself.

use std::borrow::Cow;
use std::ops::Range;

use super::error::{PickleError, Result};
use super::limits::Limits;

/// Index of a value in its [`Arena`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u32);

/// One value; `'a` is the pickle's own bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// An integer that needs more.
    Long(Box<i128>),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes: where they stand in the file.
    Bytes(Range<usize>),
    /// A list.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dictionary in the order of insertion; a later entry of the same key wins.
    Dict(Vec<(Id, Id)>),
    /// A set, or a frozen one.
    Set(Vec<Id>),
    /// The name of something in a module, never looked up.
    Global(Box<(Cow<'a, str>, Cow<'a, str>)>),
    /// What Python would make by calling something; here nothing is called.
    Object(Box<Object>),
    /// A reference to something outside the pickle, such as a storage.
    Persistent(Id),
}

/// A call that was not made, and what would have been done to its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// What would be called.
    pub callable: Id,
    /// The tuple of arguments.
    pub args: Id,
    /// Named arguments.
    pub kwargs: Option<Id>,
    /// What `__setstate__` would be given.
    pub state: Option<Id>,
    /// Entries that would be set, as of a dictionary.
    pub entries: Vec<(Id, Id)>,
    /// Items that would be appended, as to a list.
    pub items: Vec<Id>,
}

/// A value with where it came from.
#[derive(Clone, Debug)]
struct Slot<'a> {
    node: Node<'a>,
    at: usize,
    depth: usize,
}

/// All values of one pickle.
#[derive(Clone, Debug, Default)]
pub struct Arena<'a> {
    slots: Vec<Slot<'a>>,
    allocated: u64,
}

/// What one value costs beside what it holds.
const SLOT_BYTES: u64 = size_of::<Slot<'static>>() as u64;

impl<'a> Arena<'a> {
    /// The value; `id` must be of this arena.
    pub fn node(&self, id: Id) -> &Node<'a> {
        &self.slots[id.0 as usize].node
    }

    /// Where in the pickle the value was made, in bytes from the file's start.
    pub fn offset(&self, id: Id) -> usize {
        self.slots[id.0 as usize].at
    }

    /// Every value in the order of its making, also those that the root does not lead to.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Node<'a>)> {
        (0..).map(Id).zip(self.slots.iter().map(|slot| &slot.node))
    }

    /// Module and name of what a value stands for: a name, or a class that a legacy file wraps into
    /// `('module', class, path, source)` to tell when its source has changed.
    pub fn name(&self, id: Id) -> Option<(&str, &str)> {
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

    /// How deeply values are nested below this one, itself included.
    pub(super) fn depth(&self, id: Id) -> usize {
        self.slots[id.0 as usize].depth
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node<'a> {
        &mut self.slots[id.0 as usize].node
    }

    /// Adds a value of `payload` bytes over values no deeper than `below`.
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

    /// Notes that the value has got another below it.
    pub(super) fn deepen(&mut self, gauge: &Gauge<'_>, id: Id, below: usize) -> Result<()> {
        gauge.check_depth(below + 1)?;
        let slot = &mut self.slots[id.0 as usize];
        slot.depth = slot.depth.max(below + 1);
        Ok(())
    }

    /// Counts bytes that are about to be allocated.
    pub(super) fn charge(&mut self, gauge: &Gauge<'_>, bytes: u64) -> Result<()> {
        self.allocated = self.allocated.saturating_add(bytes);
        let limit = gauge.limits.allocated;
        if limit < self.allocated { Err(gauge.over("bytes of values", limit)) } else { Ok(()) }
    }
}

/// Where the reader is, and how much it may use.
pub(super) struct Gauge<'m> {
    pub(super) file: &'m str,
    pub(super) at: usize,
    pub(super) limits: &'m Limits,
}

impl Gauge<'_> {
    /// The error of having passed a limit.
    pub(super) fn over(&self, what: &'static str, limit: u64) -> PickleError {
        PickleError::Limit { file: self.file.to_owned(), at: self.at, what, limit }
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        let limit = self.limits.depth;
        if limit < depth { Err(self.over("levels of nesting", limit as u64)) } else { Ok(()) }
    }
}
