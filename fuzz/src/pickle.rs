//! Pickles, PyTorch's files, and the zip files of either.

use crate::around::zip;
use crate::contents::check;

/// A storage of 16 numbers of f32, for the pickles that refer to one.
const STORAGE: [u8; 64] = [1; 64];

/// Pickles by themselves and legacy files, which are read as they are, and as the object of a zip
/// file of PyTorch with storages `0` and `1` of 64 bytes.
///
/// See [`archive`] for what must hold.
pub fn pickle(data: &[u8]) {
    check(data.to_vec());
    check(zip(&[
        ("archive/data.pkl", data),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &STORAGE),
        ("archive/data/1", &STORAGE),
    ]));
}

/// Zip files of PyTorch.
///
/// Of a file that is accepted: it names nothing that is not on the list of harmless names; its
/// tensors have as many bytes as their shapes say, and all of them together no more than the
/// limits allow; tensors and plain values come back the same from the files that our writers make
/// of them; and a network that is imported comes back the same from our own file.
pub fn archive(data: &[u8]) {
    check(data.to_vec());
}
