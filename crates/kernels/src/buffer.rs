//! Memory of the CPU kernels: outputs without initial zeros, and reused scratch memory.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Output of a kernel before it is written. Filling it with zeros first would cost up to a third of
/// an element-wise kernel's time.
pub(super) struct Output(Vec<MaybeUninit<f32>>);

impl Output {
    /// Memory for `len` elements.
    pub(super) fn new(len: usize) -> Self {
        let mut buffer = Vec::with_capacity(len);
        // SAFETY: the capacity is `len`, and a `MaybeUninit` needs no initialization.
        unsafe { buffer.set_len(len) };
        Self(buffer)
    }

    /// Address of the first element, for kernels that write out of order.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn as_shared_ptr(&mut self) -> SharedPtr {
        SharedPtr(self.0.as_mut_ptr().cast())
    }

    /// All elements, for kernels that write out of order with bounds checks.
    pub(super) fn as_shared(&mut self) -> SharedSlice<f32> {
        SharedSlice { start: self.0.as_mut_ptr().cast(), len: self.0.len() }
    }

    /// The elements in chunks of `size`, to be written in parallel.
    pub(super) fn par_chunks(
        &mut self,
        size: usize,
    ) -> rayon::slice::ChunksMut<'_, MaybeUninit<f32>> {
        self.0.par_chunks_mut(size.max(1))
    }

    /// The elements.
    ///
    /// # Safety
    ///
    /// All elements have been written.
    pub(super) unsafe fn assume_written(self) -> Vec<f32> {
        let mut buffer = std::mem::ManuallyDrop::new(self.0);
        let (ptr, len, capacity) = (buffer.as_mut_ptr(), buffer.len(), buffer.capacity());
        // SAFETY: `MaybeUninit<f32>` has the layout of `f32`, the parts come from one vector, and
        // the caller guarantees that the elements are initialized.
        unsafe { Vec::from_raw_parts(ptr.cast(), len, capacity) }
    }
}

/// The same elements as the target of a kernel. All kernels of this crate write initialized
/// elements only.
pub(super) fn as_uninit(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the layouts agree, and the kernels write initialized elements only.
    unsafe { &mut *(std::ptr::from_mut::<[f32]>(numbers) as *mut [MaybeUninit<f32>]) }
}

/// A pointer through which threads write disjoint parts of one buffer.
#[derive(Clone, Copy)]
pub(super) struct SharedPtr(*mut f32);

// SAFETY: it is only an address. Every `unsafe` write through it states why no two threads write
// the same element.
unsafe impl Send for SharedPtr {}
// SAFETY: as above.
unsafe impl Sync for SharedPtr {}

impl SharedPtr {
    /// The address of the first element of `buffer`.
    pub(super) fn new(buffer: &mut [f32]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// The address of element `offset`.
    ///
    /// # Safety
    ///
    /// The address is within the buffer or one past its end.
    pub(super) unsafe fn add(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller guarantees the condition.
        unsafe { self.0.add(offset) }
    }
}

/// A slice in which threads write disjoint parts, with bounds checks.
#[derive(Clone, Copy)]
pub(super) struct SharedSlice<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: as for [`SharedPtr`]; the written values can be sent.
unsafe impl<T: Send> Send for SharedSlice<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedSlice<T> {}

impl<T: Copy> SharedSlice<T> {
    /// All of `slice`.
    pub(super) fn new(slice: &mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len() }
    }

    /// Writes one value.
    ///
    /// # Safety
    ///
    /// The slice still exists, and no other thread accesses this element meanwhile.
    pub(super) unsafe fn write(&self, at: usize, value: T) {
        assert!(at < self.len, "a write beyond a shared slice");
        // SAFETY: the check shows that it is within the slice; the caller guarantees the rest.
        unsafe { self.start.add(at).write(value) };
    }

    /// The address of `len` values starting at `at`.
    ///
    /// # Safety
    ///
    /// The slice still exists.
    pub(super) unsafe fn place(&self, at: usize, len: usize) -> *mut T {
        assert!(at <= self.len && len <= self.len - at, "a place beyond a shared slice");
        // SAFETY: the check shows that it is within the slice.
        unsafe { self.start.add(at) }
    }

    /// Writes several values, starting at `at`.
    ///
    /// # Safety
    ///
    /// As for [`Self::write`], for all these elements.
    pub(super) unsafe fn write_slice(&self, at: usize, values: &[T]) {
        assert!(at <= self.len && values.len() <= self.len - at, "a write beyond a shared slice");
        // SAFETY: as above.
        unsafe { self.start.add(at).copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }
}

/// Calls `f` with `len` elements of scratch memory with arbitrary content, which the thread keeps
/// for the next call. The memory starts at a cache line; otherwise, half of all vectors would
/// straddle two.
pub(super) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    /// Elements per cache line.
    const LINE: usize = 16;
    thread_local! {
        static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    }
    // Removed from the list while in use, because `f` may need scratch memory as well, and a kernel
    // that waits for others may run another task of its kind. The same depth gets the same buffer.
    let mut scratch = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    if scratch.len() < len + LINE {
        scratch.resize(len + LINE, 0.0);
    }
    let start = scratch.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = f(&mut scratch[start..start + len]);
    SCRATCH.with_borrow_mut(|scratches| scratches.push(scratch));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_scratches_do_not_overlap() {
        let sum = with_scratch(3, |outer| {
            outer.fill(1.0);
            with_scratch(5, |inner| inner.fill(7.0));
            outer.iter().sum::<f32>()
        });
        assert_eq!(sum, 3.0);
    }

    #[test]
    fn written_elements_are_returned() {
        let mut output = Output::new(5);
        output.par_chunks(2).enumerate().for_each(|(i, chunk)| {
            chunk.iter_mut().for_each(|it| {
                it.write(i as f32);
            });
        });
        // SAFETY: the chunks cover the buffer.
        assert_eq!(unsafe { output.assume_written() }, [0.0, 0.0, 1.0, 1.0, 2.0]);
    }
}
