//! Opcodes in the form of CPython's pickler.

use std::collections::HashMap;

use super::super::error::Result;
use super::super::opcode::*;

/// Largest number of entries per opcode.
pub(super) const BATCH: usize = 1000;

/// A frame ends at the first value after this many bytes. Longer byte strings are outside frames.
const FRAME_TARGET: usize = 64 * 1024;

/// Smallest frame with a header.
const FRAME_MIN: usize = 4;

/// Length of a frame's header: opcode and size.
const FRAME_HEADER: usize = 9;

/// Protocol of a pickle to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Protocol 2, as in `torch.save`.
    Two,
    /// Protocol 4, as in `pickle.dump` of Python 3.8 and newer: frames, short names, sets.
    Four,
}

/// Writer of one pickle, value by value.
///
/// Each method writes one value, which the loader puts on its stack. Equal texts and names are
/// written once and then referenced.
#[derive(Debug)]
pub struct Pickler {
    protocol: Protocol,
    out: Vec<u8>,
    /// Position of the open frame's header.
    frame: Option<usize>,
    memoized: u32,
    texts: HashMap<String, u32>,
    globals: HashMap<(String, String), u32>,
}

impl Pickler {
    /// Starts a pickle.
    pub fn new(protocol: Protocol) -> Self {
        let number = match protocol {
            Protocol::Two => 2,
            Protocol::Four => 4,
        };
        Self {
            protocol,
            out: vec![PROTO, number],
            frame: None,
            memoized: 0,
            texts: HashMap::new(),
            globals: HashMap::new(),
        }
    }

    /// Ends the pickle. Its value is the one on the stack.
    pub fn finish(mut self) -> Vec<u8> {
        self.put(&[STOP]);
        self.close_frame();
        self.out
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Writes `None`.
    pub fn none(&mut self) {
        self.value(&[NONE]);
    }

    /// Writes a boolean.
    pub fn bool(&mut self, value: bool) {
        self.value(&[if value { NEWTRUE } else { NEWFALSE }]);
    }

    /// Writes an integer.
    pub fn int(&mut self, value: i128) {
        if let Ok(byte) = u8::try_from(value) {
            self.value(&[BININT1, byte]);
        } else if let Ok(short) = u16::try_from(value) {
            self.value(&[&[BININT2][..], &short.to_le_bytes()].concat());
        } else if let Ok(int) = i32::try_from(value) {
            self.value(&[&[BININT][..], &int.to_le_bytes()].concat());
        } else {
            let bytes = value.to_le_bytes();
            // The shortest form whose highest bit is the sign.
            let fill = if value < 0 { 0xff } else { 0 };
            let is_sign = |&end: &usize| {
                bytes[end..].iter().all(|&it| it == fill) && (bytes[end - 1] ^ fill) & 0x80 == 0
            };
            let length = (1..=bytes.len()).find(is_sign).unwrap_or(bytes.len());
            self.value(&[&[LONG1, length as u8], &bytes[..length]].concat());
        }
    }

    /// Writes a floating-point number.
    pub fn float(&mut self, value: f64) {
        self.value(&[&[BINFLOAT][..], &value.to_be_bytes()].concat());
    }

    /// Writes text.
    pub fn text(&mut self, text: &str) {
        if let Some(&index) = self.texts.get(text) {
            return self.get(index);
        }
        let length = text.len();
        let short = u8::try_from(length).ok().filter(|_| self.protocol == Protocol::Four);
        let header = match (short, u32::try_from(length)) {
            (Some(short), _) => vec![SHORT_BINUNICODE, short],
            (None, Ok(length)) => [&[BINUNICODE][..], &length.to_le_bytes()].concat(),
            (None, Err(_)) => [&[BINUNICODE8][..], &(length as u64).to_le_bytes()].concat(),
        };
        self.long(&header, text.as_bytes());
        let index = self.memoize();
        self.texts.insert(text.to_owned(), index);
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.protocol == Protocol::Two {
            // Protocol 2 has no bytes: a call encodes text.
            let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
            self.global("_codecs", "encode");
            self.text(&text);
            self.text("latin1");
            self.put(&[TUPLE2]);
            self.memoize();
            return self.reduce();
        }
        let header = match (u8::try_from(bytes.len()), u32::try_from(bytes.len())) {
            (Ok(short), _) => vec![SHORT_BINBYTES, short],
            (_, Ok(length)) => [&[BINBYTES][..], &length.to_le_bytes()].concat(),
            _ => [&[BINBYTES8][..], &(bytes.len() as u64).to_le_bytes()].concat(),
        };
        self.long(&header, bytes);
        self.memoize();
    }

    /// Writes a name in a module.
    pub fn global(&mut self, module: &str, name: &str) {
        let key = (module.to_owned(), name.to_owned());
        if let Some(&index) = self.globals.get(&key) {
            return self.get(index);
        }
        if self.protocol == Protocol::Two {
            self.value(format!("c{module}\n{name}\n").as_bytes());
        } else {
            self.boundary();
            self.text(module);
            self.text(name);
            self.put(&[STACK_GLOBAL]);
        }
        let index = self.memoize();
        self.globals.insert(key, index);
    }

    /// Writes a tuple of `count` values, which `items` writes.
    ///
    /// # Errors
    ///
    /// The errors of `items`.
    pub fn tuple(
        &mut self,
        count: usize,
        items: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.open_tuple(count);
        items(self)?;
        self.close_tuple(count);
        Ok(())
    }

    /// Writes a call of the name with `count` arguments, which `args` writes.
    ///
    /// # Errors
    ///
    /// The errors of `args`.
    pub fn call(
        &mut self,
        name: (&str, &str),
        count: usize,
        args: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.global(name.0, name.1);
        self.tuple(count, args)?;
        self.reduce();
        Ok(())
    }

    /// Writes an empty `OrderedDict`, for [`Pickler::entries`] to fill.
    pub fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.close_tuple(0);
        self.reduce();
    }

    /// Writes an empty dictionary, for [`Pickler::entries`] to fill.
    pub fn dict(&mut self) {
        self.value(&[EMPTY_DICT]);
        self.memoize();
    }

    /// Sets entries of the dictionary on the stack; `entry` writes the key and value with an index.
    ///
    /// # Errors
    ///
    /// The errors of `entry`.
    pub fn entries(
        &mut self,
        count: usize,
        mut entry: impl FnMut(&mut Self, usize) -> Result<()>,
    ) -> Result<()> {
        for start in (0..count).step_by(BATCH) {
            let end = count.min(start + BATCH);
            if count == 1 {
                entry(self, 0)?;
                self.put(&[SETITEM]);
            } else {
                self.put(&[MARK]);
                (start..end).try_for_each(|index| entry(self, index))?;
                self.put(&[SETITEMS]);
            }
        }
        Ok(())
    }

    /// Writes an instance of a class without arguments; [`Pickler::build`] sets its state.
    pub fn instance(&mut self, name: (&str, &str)) {
        self.global(name.0, name.1);
        self.put(&[EMPTY_TUPLE, NEWOBJ]);
        self.memoize();
    }

    /// Sets the state on the stack as the state of the object below it.
    pub fn build(&mut self) {
        self.put(&[BUILD]);
    }

    /// Turns the tuple on the stack into a reference outside the pickle.
    pub fn persistent(&mut self) {
        self.put(&[BINPERSID]);
    }

    /// Writes a reference to an earlier value.
    pub fn get(&mut self, index: u32) {
        match u8::try_from(index) {
            Ok(short) => self.value(&[BINGET, short]),
            Err(_) => self.value(&[&[LONG_BINGET][..], &index.to_le_bytes()].concat()),
        }
    }

    /// Index of the last container or call, for [`Pickler::get`].
    pub fn last(&self) -> u32 {
        self.memoized.saturating_sub(1)
    }

    /// Starts a tuple of `count` values.
    pub(super) fn open_tuple(&mut self, count: usize) {
        match count {
            0..=3 => self.boundary(),
            _ => self.value(&[MARK]),
        }
    }

    /// Makes a tuple of the last `count` values.
    pub(super) fn close_tuple(&mut self, count: usize) {
        self.put(&[[EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE][count.min(4)]]);
        if count != 0 {
            self.memoize();
        }
    }

    fn reduce(&mut self) {
        self.put(&[REDUCE]);
        self.memoize();
    }

    /// Numbers the value on the stack for later references.
    pub(super) fn memoize(&mut self) -> u32 {
        let index = self.memoized;
        match (self.protocol, u8::try_from(index)) {
            (Protocol::Four, _) => self.put(&[MEMOIZE]),
            (Protocol::Two, Ok(short)) => self.put(&[BINPUT, short]),
            (Protocol::Two, Err(_)) => {
                self.put(&[&[LONG_BINPUT][..], &index.to_le_bytes()].concat());
            }
        }
        self.memoized += 1;
        index
    }

    /// Writes the start of a value.
    pub(super) fn value(&mut self, bytes: &[u8]) {
        self.boundary();
        self.put(bytes);
    }

    /// Writes opcodes into the open frame, or opens one.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.frame.is_none() && self.protocol == Protocol::Four {
            self.frame = Some(self.out.len());
            self.out.extend([0; FRAME_HEADER]);
        }
        self.out.extend_from_slice(bytes);
    }

    /// Writes a header and bytes; long byte strings are outside frames.
    fn long(&mut self, header: &[u8], bytes: &[u8]) {
        self.boundary();
        if bytes.len() < FRAME_TARGET {
            self.put(header);
        } else {
            self.close_frame();
            self.out.extend_from_slice(header);
        }
        self.out.extend_from_slice(bytes);
    }

    /// Ends the frame if it is long enough.
    fn boundary(&mut self) {
        let is_full = |start: usize| FRAME_TARGET <= self.out.len() - start - FRAME_HEADER;
        if self.frame.is_some_and(is_full) {
            self.close_frame();
        }
    }

    fn close_frame(&mut self) {
        let Some(start) = self.frame.take() else { return };
        let body = start + FRAME_HEADER;
        let length = self.out.len() - body;
        if length < FRAME_MIN {
            self.out.drain(start..body);
        } else {
            self.out[start] = FRAME;
            self.out[start + 1..body].copy_from_slice(&(length as u64).to_le_bytes());
        }
    }
}
