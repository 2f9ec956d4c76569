//! Plain values as opcodes.

use super::super::error::{PickleError, Result};
use super::super::opcode::*;
use super::super::plain::{Plain, PlainNode, PlainRef};
use super::pickler::{BATCH, Pickler, Protocol};

/// Remaining work of writing.
enum Task<'p> {
    Value(PlainRef<'p>),
    Opcode(u8),
    /// An opcode whose value is memoized.
    Memoized(u8),
    CloseTuple(usize),
}

impl Pickler {
    /// Writes a plain value.
    ///
    /// # Errors
    ///
    /// If the value has a part that is not plain.
    pub fn plain(&mut self, value: &Plain) -> Result<()> {
        let mut tasks = vec![Task::Value(value.root())];
        while let Some(task) = tasks.pop() {
            match task {
                Task::Opcode(opcode) => self.put(&[opcode]),
                Task::Memoized(opcode) => {
                    self.put(&[opcode]);
                    self.memoize();
                }
                Task::CloseTuple(count) => self.close_tuple(count),
                Task::Value(value) => {
                    let parts = self.start(value)?;
                    tasks.extend(parts.into_iter().rev());
                }
            }
        }
        Ok(())
    }

    /// Writes a value without parts, or the start of a container. Returns the remaining work.
    fn start<'p>(&mut self, value: PlainRef<'p>) -> Result<Vec<Task<'p>>> {
        let values = |items: &[usize]| items.iter().map(|&it| value.at(it)).collect::<Vec<_>>();
        let unwritable = |what: &str| Err(PickleError::Unwritable { what: what.to_owned() });
        match value.node() {
            PlainNode::None => self.none(),
            PlainNode::Bool(value) => self.bool(*value),
            PlainNode::Int(value) => self.int((*value).into()),
            PlainNode::Long(value) => self.int(*value),
            PlainNode::Float(value) => self.float(*value),
            PlainNode::Text(text) => self.text(text),
            PlainNode::Bytes(bytes) => self.bytes(bytes),
            PlainNode::List(items) => {
                self.value(&[EMPTY_LIST]);
                self.memoize();
                return Ok(batches(values(items), 1, Some(APPEND), APPENDS));
            }
            PlainNode::Dict(entries) => {
                self.dict();
                let items = entries.iter().flat_map(|&(key, it)| [value.at(key), value.at(it)]);
                return Ok(batches(items.collect(), 2, Some(SETITEM), SETITEMS));
            }
            PlainNode::Set(items) if self.protocol() == Protocol::Four => {
                self.value(&[EMPTY_SET]);
                self.memoize();
                return Ok(batches(values(items), 1, None, ADDITEMS));
            }
            PlainNode::Set(items) => {
                self.global("__builtin__", "set");
                self.value(&[EMPTY_LIST]);
                self.memoize();
                let mut tasks = batches(values(items), 1, Some(APPEND), APPENDS);
                tasks.extend([Task::CloseTuple(1), Task::Memoized(REDUCE)]);
                return Ok(tasks);
            }
            PlainNode::Tuple(items) => {
                self.open_tuple(items.len());
                let mut tasks: Vec<_> = values(items).into_iter().map(Task::Value).collect();
                tasks.push(Task::CloseTuple(items.len()));
                return Ok(tasks);
            }
            PlainNode::Opaque(name) => {
                return unwritable(&format!(
                    "an object of `{name}`; only plain values can be written"
                ));
            }
        }
        Ok(Vec::new())
    }
}

/// Items in groups of `width`, in batches of as many groups as one opcode accepts.
fn batches(items: Vec<PlainRef<'_>>, width: usize, one: Option<u8>, many: u8) -> Vec<Task<'_>> {
    if let Some(one) = one.filter(|_| items.len() == width) {
        let mut tasks: Vec<_> = items.into_iter().map(Task::Value).collect();
        tasks.push(Task::Opcode(one));
        return tasks;
    }
    let mut tasks = Vec::new();
    for batch in items.chunks(BATCH * width) {
        tasks.push(Task::Opcode(MARK));
        tasks.extend(batch.iter().map(|&item| Task::Value(item)));
        tasks.push(Task::Opcode(many));
    }
    tasks
}
