//! Bounds-checked reads from a part of a file.

use std::ops::Range;

use super::error::{PickleError, Result};

/// A position in a part of a file. Offsets count from the start of the file.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    pub(super) file: &'a str,
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `part`, which is clipped to the file.
    pub(super) fn new(file: &'a str, bytes: &'a [u8], part: Range<usize>) -> Self {
        let end = part.end.min(bytes.len());
        Self { file, bytes, at: part.start.min(end), end }
    }

    /// Position of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Number of bytes left.
    pub(super) fn left(&self) -> usize {
        self.end - self.at
    }

    /// Passes the next `count` bytes and returns their position.
    pub(super) fn span(&mut self, count: u64, what: &str) -> Result<Range<usize>> {
        let count = usize::try_from(count).ok().filter(|&it| it <= self.left());
        let count = count.ok_or_else(|| self.truncated(what))?;
        self.at += count;
        Ok(self.at - count..self.at)
    }

    /// Reads the next `count` bytes.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8]> {
        let span = self.span(count, what)?;
        Ok(&self.bytes[span])
    }

    /// Reads the next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let bytes = self.take(N as u64, what)?;
        bytes.try_into().map_err(|_| self.truncated(what))
    }

    /// Reads up to the end of the line, and passes the line break.
    pub(super) fn line(&mut self, what: &str) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..self.end];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or_else(|| self.truncated(what))?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// The error for the end of the file inside `what`.
    pub(super) fn truncated(&self, what: &str) -> PickleError {
        PickleError::Truncated { file: self.file.to_owned(), at: self.at, what: what.to_owned() }
    }
}
