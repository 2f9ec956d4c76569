//! The stack machine of pickles, without imports and calls.
//!
//! # Values in an arena
//!
//! A file may describe lists nested a million deep, lists that contain themselves, and a tree of
//! 2⁶⁰ leaves in a kilobyte. Values that own each other would overflow the stack when they are
//! dropped. All values are therefore stored in one vector and refer to each other by index, no
//! function is recursive, and everything that can grow counts against [`Limits`].

mod dispatch;
mod line;

use std::borrow::Cow;
use std::ops::Range;

use super::cursor::Cursor;
use super::error::{PickleError, Result, malformed, quote};
use super::globals;
use super::limits::Limits;
use super::value::{Arena, Gauge, Id, Node, Object};

/// The values of one pickle.
#[derive(Clone, Debug)]
pub(super) struct Document<'a> {
    /// All values.
    pub(super) arena: Arena<'a>,
    /// The value that Python's loader returns.
    pub(super) root: Id,
    /// End of the pickle, in bytes from the start of the file.
    pub(super) end: usize,
}

/// Handling of opcodes and names that no network needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// An error.
    Refuse,
    /// Recorded like any other.
    Collect,
}

/// Reads the pickle at the start of `part` of the bytes.
///
/// Nothing is imported or called: a call becomes an [`Object`].
///
/// # Errors
///
/// If the pickle is cut short or invalid, contains a name outside the list of harmless names or an
/// opcode that no network needs, or exceeds `limits`. The error names `file` and the byte.
pub(super) fn parse<'a>(
    file: &'a str,
    bytes: &'a [u8],
    part: Range<usize>,
    limits: &'a Limits,
) -> Result<Document<'a>> {
    let mut machine = Machine::new(file, bytes, part, limits, Policy::Refuse);
    let root = machine.run()?;
    Ok(Document { root, end: machine.cursor.at(), arena: machine.arena })
}

/// Reads a pickle, including names and opcodes that [`parse`] refuses, up to the first other error.
/// Returns all values made until then, and the end of the pickle.
pub(super) fn parse_leniently<'a>(
    file: &'a str,
    bytes: &'a [u8],
    part: Range<usize>,
    limits: &'a Limits,
) -> (Arena<'a>, Result<usize>) {
    let mut machine = Machine::new(file, bytes, part, limits, Policy::Collect);
    let end = machine.run().map(|_| machine.cursor.at());
    (machine.arena, end)
}

struct Machine<'a> {
    file: &'a str,
    limits: &'a Limits,
    policy: Policy,
    cursor: Cursor<'a>,
    /// Position of the current opcode.
    at: usize,
    arena: Arena<'a>,
    stack: Vec<Id>,
    /// Length of the stack at each open mark.
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
    /// Number of memo entries in use.
    memoized: usize,
}

impl<'a> Machine<'a> {
    fn new(
        file: &'a str,
        bytes: &'a [u8],
        part: Range<usize>,
        limits: &'a Limits,
        policy: Policy,
    ) -> Self {
        let cursor = Cursor::new(file, bytes, part);
        Self {
            file,
            limits,
            policy,
            at: cursor.at(),
            cursor,
            arena: Arena::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            memoized: 0,
        }
    }

    fn run(&mut self) -> Result<Id> {
        for _ in 0..self.limits.opcodes {
            self.at = self.cursor.at();
            let [opcode] = self.cursor.array("a pickle, which has no end mark")?;
            if let Some(root) = self.step(opcode)? {
                return Ok(root);
            }
        }
        self.at = self.cursor.at();
        Err(self.gauge().over("opcodes", self.limits.opcodes))
    }

    fn gauge(&self) -> Gauge<'a> {
        Gauge { file: self.file, at: self.at, limits: self.limits }
    }

    fn malformed(&self, reason: impl Into<String>) -> PickleError {
        malformed(self.file, self.at, reason)
    }

    /// Pushes a value without references to others.
    fn leaf(&mut self, node: Node<'a>, payload: usize) -> Result<()> {
        self.value(node, payload, 0)
    }

    /// Pushes a value that refers to values of depth `below` at most.
    fn value(&mut self, node: Node<'a>, payload: usize, below: usize) -> Result<()> {
        let id = self.arena.push(&self.gauge(), node, payload, below)?;
        self.stack.push(id);
        Ok(())
    }

    /// Length of the part of the stack that the open mark hides.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        let visible = &self.stack[self.floor()..];
        visible.last().copied().ok_or_else(|| self.malformed("the stack is empty"))
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Closes the mark and pops the values above it.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    fn open_mark(&mut self) -> Result<()> {
        let limit = self.limits.depth;
        if limit <= self.marks.len() {
            return Err(self.gauge().over("open marks", limit as u64));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn deepest(&self, ids: &[Id]) -> usize {
        ids.iter().map(|&id| self.arena.depth(id)).max().unwrap_or(0)
    }

    fn tuple(&mut self, items: Vec<Id>) -> Result<()> {
        let below = self.deepest(&items);
        let payload = size_of_val(items.as_slice());
        self.value(Node::Tuple(items), payload, below)
    }

    /// Appends to the list or the call on top of the stack.
    fn extend(&mut self, new: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        self.grow(target, &new)?;
        match self.arena.node_mut(target) {
            Node::List(items) => items.extend(new),
            Node::Object(object) => object.items.extend(new),
            _ => return Err(self.malformed("items for a value that is not a list")),
        }
        Ok(())
    }

    fn extend_set(&mut self, new: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        self.grow(target, &new)?;
        match self.arena.node_mut(target) {
            Node::Set(items) => items.extend(new),
            _ => return Err(self.malformed("items for a value that is not a set")),
        }
        Ok(())
    }

    /// Sets entries of the dictionary or the call on top of the stack; `new` alternates keys and
    /// values.
    fn set_entries(&mut self, new: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        let new_pairs = self.pairs(&new)?;
        self.grow(target, &new)?;
        match self.arena.node_mut(target) {
            Node::Dict(entries) => entries.extend(new_pairs),
            Node::Object(object) => object.entries.extend(new_pairs),
            _ => return Err(self.malformed("entries for a value that is not a dictionary")),
        }
        Ok(())
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>> {
        match items.as_chunks() {
            (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            _ => Err(self.malformed("a key without a value")),
        }
    }

    /// Charges for the values added to a container.
    fn grow(&mut self, target: Id, new: &[Id]) -> Result<()> {
        let gauge = self.gauge();
        self.arena.charge(&gauge, size_of_val(new) as u64)?;
        self.arena.deepen(&gauge, target, self.deepest(new))
    }

    fn memoize(&mut self, index: usize) -> Result<()> {
        let top = self.top()?;
        if self.limits.memo <= index {
            return Err(self.gauge().over("memo entries", self.limits.memo as u64));
        }
        if self.memo.len() <= index {
            let new = (index + 1 - self.memo.len()) * size_of::<Option<Id>>();
            self.arena.charge(&self.gauge(), new as u64)?;
            self.memo.resize(index + 1, None);
        }
        self.memoized += usize::from(self.memo[index].replace(top).is_none());
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<()> {
        let id = self.memo.get(index).copied().flatten();
        let id = id.ok_or_else(|| self.malformed(format!("no memo entry {index}")))?;
        self.stack.push(id);
        Ok(())
    }

    /// Pushes a name; a name outside the list is an error.
    fn global(&mut self, module: Cow<'a, str>, name: Cow<'a, str>) -> Result<()> {
        if self.policy == Policy::Refuse && !globals::is_allowed(&module, &name) {
            return Err(PickleError::Global {
                file: self.file.to_owned(),
                at: self.at,
                global: quote(&format!("{module}.{name}")),
            });
        }
        // Decoded names are copies; other names borrow from the file.
        let copied = |text: &Cow<'a, str>| match text {
            Cow::Owned(text) => text.len(),
            Cow::Borrowed(_) => 0,
        };
        let payload = size_of::<(Cow<'a, str>, Cow<'a, str>)>() + copied(&module) + copied(&name);
        self.leaf(Node::Global(Box::new((module, name))), payload)
    }

    /// Pushes the record of a call.
    fn call(&mut self, callable: Id, args: Id, kwargs: Option<Id>) -> Result<()> {
        if self.policy == Policy::Refuse {
            if self.arena.name(callable).is_none() {
                return Err(self.malformed("a call of a value that is not a name"));
            }
            if !matches!(self.arena.node(args), Node::Tuple(_)) {
                return Err(self.malformed("a call whose arguments are not a tuple"));
            }
        }
        let below = self.deepest(&[callable, args, kwargs.unwrap_or(args)]);
        let object =
            Object { callable, args, kwargs, state: None, entries: Vec::new(), items: Vec::new() };
        self.value(Node::Object(Box::new(object)), size_of::<Object>(), below)
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        self.arena.deepen(&self.gauge(), target, self.deepest(&[state]))?;
        let collect = self.policy == Policy::Collect;
        match self.arena.node_mut(target) {
            Node::Object(object) if object.state.is_none() || collect => {
                object.state = Some(state);
                Ok(())
            }
            Node::Object(_) => Err(self.malformed("a second state for the same object")),
            _ if collect => Ok(()),
            _ => Err(self.malformed("a state for a value that is not an object")),
        }
    }
}
