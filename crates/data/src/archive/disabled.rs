//! The items of `enabled`, each of which is an error that names the feature `archives`.

use std::convert::Infallible;
use std::io::{self, BufRead, Read, Seek, Write};
use std::marker::PhantomData;

use crate::Error;

pub(crate) fn gunzip<'a>(
    _compressed: impl BufRead + 'a,
    file: &str,
) -> Result<Box<dyn Read + 'a>, Error> {
    Err(disabled(file, "gzip"))
}

pub(crate) fn read_tar(
    _archive: impl Read,
    file: &str,
    _visit: &mut dyn FnMut(&str, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    Err(disabled(file, "a tar archive"))
}

/// A type without values, because no archive can be opened.
pub(crate) struct ZipFiles<R> {
    never: Infallible,
    reader: PhantomData<R>,
}

impl<R: Read + Seek> ZipFiles<R> {
    pub(crate) fn open(_reader: R, file: &str) -> Result<Self, Error> {
        Err(disabled(file, "a zip archive"))
    }

    pub(crate) fn size(&self) -> u64 {
        match self.never {}
    }

    pub(crate) fn names(&self) -> Vec<String> {
        match self.never {}
    }

    pub(crate) fn read(&mut self, _name: &str, _limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.never {}
    }
}

pub(crate) fn write_zip<W: Write + Seek>(
    _out: W,
    _files: impl Iterator<Item = (String, Result<Vec<u8>, Error>)>,
    _fault: impl Fn(io::Error) -> Error,
) -> Result<W, Error> {
    Err(disabled("the data set to write", "a zip archive"))
}

fn disabled(file: &str, format: &'static str) -> Error {
    Error::Disabled { file: file.to_owned(), format, feature: "archives" }
}
