//! Effect of each opcode.

use std::borrow::Cow;

use super::super::error::{PickleError, Result, malformed};
use super::super::opcode::{self, *};
use super::super::value::{Id, Node};
use super::line;
use super::{Machine, Policy};

/// Longest integer, in bytes. Python's integers are unbounded; the longest in files of networks is
/// PyTorch's magic number, with 10 bytes.
const MAX_INTEGER: u64 = 16;

impl<'a> Machine<'a> {
    /// Executes one opcode. Returns the root after the last one.
    pub(super) fn step(&mut self, opcode: u8) -> Result<Option<Id>> {
        match opcode {
            STOP => return self.pop().map(Some),
            PROTO => self.proto()?,
            FRAME => self.frame()?,

            // Stack and memo.
            MARK => self.open_mark()?,
            // In Python, POP closes a mark without values above it.
            POP if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            POP => {
                self.pop()?;
            }
            POP_MARK => {
                self.pop_mark()?;
            }
            DUP => {
                let top = self.top()?;
                self.stack.push(top);
            }
            MEMOIZE => self.memoize(self.memoized)?,
            BINPUT | LONG_BINPUT => {
                let index = self.index(opcode == BINPUT)?;
                self.memoize(index)?;
            }
            BINGET | LONG_BINGET => {
                let index = self.index(opcode == BINGET)?;
                self.recall(index)?;
            }
            PUT => {
                let index = self.decimal_index()?;
                self.memoize(index)?;
            }
            GET => {
                let index = self.decimal_index()?;
                self.recall(index)?;
            }

            // Plain values.
            NONE => self.leaf(Node::None, 0)?,
            NEWTRUE => self.leaf(Node::Bool(true), 0)?,
            NEWFALSE => self.leaf(Node::Bool(false), 0)?,
            BININT => {
                let int = i32::from_le_bytes(self.cursor.array("an integer")?);
                self.leaf(Node::Int(int.into()), 0)?;
            }
            BININT1 => {
                let [int] = self.cursor.array("an integer")?;
                self.leaf(Node::Int(int.into()), 0)?;
            }
            BININT2 => {
                let int = u16::from_le_bytes(self.cursor.array("an integer")?);
                self.leaf(Node::Int(int.into()), 0)?;
            }
            LONG1 | LONG4 => self.long(opcode == LONG1)?,
            INT | LONG => {
                let line = self.cursor.line("an integer")?;
                let node = line::integer(line, opcode == LONG);
                let node = node.ok_or_else(|| self.malformed("text that is not an integer"))?;
                self.leaf(node, size_of::<i128>())?;
            }
            BINFLOAT => {
                // The only big-endian value of the format.
                let float = f64::from_be_bytes(self.cursor.array("a number")?);
                self.leaf(Node::Float(float), 0)?;
            }
            FLOAT => {
                let float = line::float(self.cursor.line("a number")?);
                let float = float.ok_or_else(|| self.malformed("text that is not a number"))?;
                self.leaf(Node::Float(float), 0)?;
            }
            SHORT_BINUNICODE => self.text(1)?,
            BINUNICODE => self.text(4)?,
            BINUNICODE8 => self.text(8)?,
            UNICODE => {
                let text = line::unicode(self.cursor.line("text")?);
                let text = text.ok_or_else(|| self.malformed("a broken escape in text"))?;
                let payload = text.len();
                self.leaf(Node::Text(Cow::Owned(text)), payload)?;
            }
            STRING => {
                let text = line::string(self.cursor.line("text")?);
                let text = text.ok_or_else(|| self.malformed("text without quotes"))?;
                let payload = text.len();
                self.leaf(Node::Text(Cow::Owned(text)), payload)?;
            }
            SHORT_BINSTRING => self.old_string(1)?,
            BINSTRING => self.old_string(4)?,
            SHORT_BINBYTES => self.bytes(1)?,
            BINBYTES => self.bytes(4)?,
            BINBYTES8 | BYTEARRAY8 => self.bytes(8)?,

            // Containers.
            EMPTY_LIST => self.leaf(Node::List(Vec::new()), 0)?,
            EMPTY_TUPLE => self.leaf(Node::Tuple(Vec::new()), 0)?,
            EMPTY_DICT => self.leaf(Node::Dict(Vec::new()), 0)?,
            EMPTY_SET => self.leaf(Node::Set(Vec::new()), 0)?,
            LIST | FROZENSET => {
                let items = self.pop_mark()?;
                let (below, payload) = (self.deepest(&items), size_of_val(items.as_slice()));
                let node = if opcode == LIST { Node::List(items) } else { Node::Set(items) };
                self.value(node, payload, below)?;
            }
            TUPLE => {
                let items = self.pop_mark()?;
                self.tuple(items)?;
            }
            TUPLE1 | TUPLE2 | TUPLE3 => {
                let mut items = Vec::new();
                for _ in TUPLE1..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.tuple(items)?;
            }
            DICT => {
                let items = self.pop_mark()?;
                let (below, payload) = (self.deepest(&items), size_of_val(items.as_slice()));
                let entries = self.pairs(&items)?;
                self.value(Node::Dict(entries), payload, below)?;
            }
            APPEND => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            APPENDS => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            ADDITEMS => {
                let items = self.pop_mark()?;
                self.extend_set(items)?;
            }
            SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_entries(vec![key, value])?;
            }
            SETITEMS => {
                let items = self.pop_mark()?;
                self.set_entries(items)?;
            }

            // Names, and records of calls.
            GLOBAL => {
                let (module, name) = self.two_lines()?;
                self.global(module, name)?;
            }
            STACK_GLOBAL => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (Node::Text(module), Node::Text(name)) =
                    (self.arena.node(module), self.arena.node(name))
                else {
                    return Err(self.malformed("a global whose name is not text"));
                };
                let (module, name) = (module.clone(), name.clone());
                self.global(module, name)?;
            }
            REDUCE | NEWOBJ => {
                let args = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, args, None)?;
            }
            NEWOBJ_EX => {
                let kwargs = self.pop()?;
                let args = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, args, Some(kwargs))?;
            }
            BUILD => self.build()?,
            BINPERSID => {
                let outside = self.pop()?;
                self.persistent(outside)?;
            }
            PERSID => {
                let line = self.cursor.line("a persistent name")?;
                let text = String::from_utf8_lossy(line);
                self.leaf(Node::Text(text), line.len())?;
                let outside = self.pop()?;
                self.persistent(outside)?;
            }
            other => self.refused(other)?,
        }
        Ok(None)
    }

    /// Handles opcodes that no network's file has. Those that contain names are collected by
    /// [`Policy::Collect`].
    fn refused(&mut self, opcode: u8) -> Result<()> {
        if self.policy == Policy::Collect {
            match opcode {
                INST => {
                    let (module, name) = self.two_lines()?;
                    let args = self.pop_mark()?;
                    self.global(module, name)?;
                    let callable = self.pop()?;
                    self.tuple(args)?;
                    let args = self.pop()?;
                    return self.call(callable, args, None);
                }
                OBJ => {
                    let mut args = self.pop_mark()?;
                    if args.is_empty() {
                        return Err(self.malformed("an instance without a class"));
                    }
                    let callable = args.remove(0);
                    self.tuple(args)?;
                    let args = self.pop()?;
                    return self.call(callable, args, None);
                }
                EXT1 | EXT2 | EXT4 => {
                    let width = 1 << (opcode - EXT1);
                    let code = self.length(width)?;
                    let name = Cow::Owned(format!("extension {code}"));
                    return self.global(Cow::Borrowed("copyreg"), name);
                }
                _ => (),
            }
        }
        let (file, opcode) = (self.file.to_owned(), opcode::name(opcode));
        Err(PickleError::Opcode { file, at: self.at, opcode })
    }

    fn proto(&mut self) -> Result<()> {
        let [version] = self.cursor.array("the protocol's number")?;
        if version <= MAX_PROTOCOL {
            Ok(())
        } else {
            Err(self.malformed(format!("protocol {version}, at most {MAX_PROTOCOL}")))
        }
    }

    /// Checks a frame, which only states how much Python should read at once.
    fn frame(&mut self) -> Result<()> {
        let length = u64::from_le_bytes(self.cursor.array("a frame")?);
        if length <= self.cursor.left() as u64 {
            Ok(())
        } else {
            Err(self.cursor.truncated(&format!("a frame of {length} bytes")))
        }
    }

    /// Reads a little-endian integer of 1, 2, 4 or 8 bytes.
    fn length(&mut self, width: u64) -> Result<u64> {
        let bytes = self.cursor.take(width, "a length")?;
        Ok(bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    fn index(&mut self, short: bool) -> Result<usize> {
        let index = self.length(if short { 1 } else { 4 })?;
        usize::try_from(index).map_err(|_| self.malformed("a memo index beyond memory"))
    }

    fn decimal_index(&mut self) -> Result<usize> {
        let line = self.cursor.line("a memo index")?;
        let index = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
        index.ok_or_else(|| self.malformed("a memo index that is not a number"))
    }

    fn long(&mut self, short: bool) -> Result<()> {
        let length = self.length(if short { 1 } else { 4 })?;
        if MAX_INTEGER < length {
            let reason = format!("an integer of {length} bytes, at most {MAX_INTEGER}");
            return Err(self.malformed(reason));
        }
        let bytes = self.cursor.take(length, "an integer")?;
        self.leaf(line::node_of(line::twos_complement(bytes)), size_of::<i128>())
    }

    fn text(&mut self, width: u64) -> Result<()> {
        let length = self.length(width)?;
        let bytes = self.cursor.take(length, "text")?;
        match std::str::from_utf8(bytes) {
            Ok(text) => self.leaf(Node::Text(Cow::Borrowed(text)), 0),
            Err(_) => Err(self.malformed("text that is not UTF-8")),
        }
    }

    /// Reads a string of Python 2, which is text or bytes.
    fn old_string(&mut self, width: u64) -> Result<()> {
        let length = self.length(width)?;
        let mut ahead = self.cursor.clone();
        let span = self.cursor.span(length, "a string")?;
        let node = match std::str::from_utf8(ahead.take(length, "a string")?) {
            Ok(text) => Node::Text(Cow::Borrowed(text)),
            Err(_) => Node::Bytes(span),
        };
        self.leaf(node, 0)
    }

    fn bytes(&mut self, width: u64) -> Result<()> {
        let length = self.length(width)?;
        let span = self.cursor.span(length, "a byte string")?;
        self.leaf(Node::Bytes(span), 0)
    }

    fn two_lines(&mut self) -> Result<(Cow<'a, str>, Cow<'a, str>)> {
        let (file, at) = (self.file, self.at);
        let mut line = || match std::str::from_utf8(self.cursor.line("a global's name")?) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => Err(malformed(file, at, "a global whose name is not UTF-8")),
        };
        Ok((line()?, line()?))
    }

    fn persistent(&mut self, outside: Id) -> Result<()> {
        let below = self.deepest(&[outside]);
        self.value(Node::Persistent(outside), 0, below)
    }
}
