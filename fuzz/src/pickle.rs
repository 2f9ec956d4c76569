//! Pickles and PyTorch's files.

use crate::around::zip;
use crate::contents::check;

/// A storage of 16 f32 values, for pickles that refer to a storage.
const STORAGE: [u8; 64] = [1; 64];

/// Target for pickles and PyTorch's legacy files, which are read directly and as the object of a
/// PyTorch zip file with storages `0` and `1` of 64 bytes.
///
/// Properties: see [`archive`].
pub fn pickle(data: &[u8]) {
    check(data.to_vec());
    check(zip(&[
        ("archive/data.pkl", data),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &STORAGE),
        ("archive/data/1", &STORAGE),
    ]));
}

/// Target for PyTorch's zip files.
///
/// Properties of an accepted file: every global name is on the list of harmless names; the bytes of
/// each tensor match its shape, and all tensors together are within the limits; tensors and plain
/// values are the same after they are written by our writers and read again; an imported network is
/// the same after it is written to our format and read again.
pub fn archive(data: &[u8]) {
    check(data.to_vec());
}
