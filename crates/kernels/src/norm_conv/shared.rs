//! A vector that the tasks of different samples write in parallel.

use crate::buffer::SharedSlice;

/// A vector whose elements are written through a shared reference.
pub(super) struct SharedVec<T> {
    elements: Vec<T>,
    shared: SharedSlice<T>,
}

impl<T: Copy + Default> SharedVec<T> {
    /// A vector of `len` default values.
    pub(super) fn new(len: usize) -> Self {
        let mut elements = vec![T::default(); len];
        let shared = SharedSlice::new(&mut elements);
        Self { elements, shared }
    }

    /// Writes `values`, starting at element `at`.
    ///
    /// # Safety
    ///
    /// No other thread writes these elements at the same time.
    pub(super) unsafe fn write(&self, at: usize, values: &[T]) {
        // SAFETY: the vector is alive and not touched otherwise while `self` is borrowed; the rest
        // is passed on to the caller.
        unsafe { self.shared.write_slice(at, values) };
    }

    /// The elements.
    pub(super) fn into_vec(self) -> Vec<T> {
        self.elements
    }
}
