//! Memory of the CPU kernels: outputs that are not zeroed first, and scratch that is kept.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use rayon::prelude::*;

/// The output of a kernel before it is written: zeroing it first would cost up to a third of an
/// element-wise kernel's time.
pub(super) struct Output(Vec<MaybeUninit<f32>>);

impl Output {
    /// Room for `len` numbers.
    pub(super) fn new(len: usize) -> Self {
        let mut buffer = Vec::with_capacity(len);
        // SAFETY: the capacity is `len`, and a `MaybeUninit` needs no initialisation.
        unsafe { buffer.set_len(len) };
        Self(buffer)
    }

    /// The place of the first number, for kernels that write out of order.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn as_shared_ptr(&mut self) -> SharedPtr {
        SharedPtr(self.0.as_mut_ptr().cast())
    }

    /// All numbers, for kernels that write out of order and are to be checked.
    pub(super) fn as_shared(&mut self) -> SharedSlice<f32> {
        SharedSlice { start: self.0.as_mut_ptr().cast(), len: self.0.len() }
    }

    /// The numbers in chunks of `size`, to be written in parallel.
    pub(super) fn par_chunks(
        &mut self,
        size: usize,
    ) -> rayon::slice::ChunksMut<'_, MaybeUninit<f32>> {
        self.0.par_chunks_mut(size.max(1))
    }

    /// The numbers.
    ///
    /// # Safety
    ///
    /// All of them have been written.
    pub(super) unsafe fn assume_written(self) -> Vec<f32> {
        let mut buffer = std::mem::ManuallyDrop::new(self.0);
        let (ptr, len, capacity) = (buffer.as_mut_ptr(), buffer.len(), buffer.capacity());
        // SAFETY: `MaybeUninit<f32>` has the layout of `f32`, the vector's parts are its own, and
        // the caller vouches for the contents.
        unsafe { Vec::from_raw_parts(ptr.cast(), len, capacity) }
    }
}

/// The same numbers, to be written anew by kernels that write numbers only, never what is not
/// initialised: every kernel of this crate.
pub(super) fn as_uninit(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the layouts agree, and the kernels leave numbers behind.
    unsafe { &mut *(std::ptr::from_mut::<[f32]>(numbers) as *mut [MaybeUninit<f32>]) }
}

/// A pointer that threads share to write parts of one buffer that do not overlap.
#[derive(Clone, Copy)]
pub(super) struct SharedPtr(*mut f32);

// SAFETY: it is only an address; who writes through it must see to it that no two threads write
// the same number, as every `unsafe` use states.
unsafe impl Send for SharedPtr {}
// SAFETY: as above.
unsafe impl Sync for SharedPtr {}

impl SharedPtr {
    /// The address of the first number of `buffer`.
    pub(super) fn new(buffer: &mut [f32]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// The address `offset` numbers on.
    ///
    /// # Safety
    ///
    /// It is within the buffer or one past its end.
    pub(super) unsafe fn add(self, offset: usize) -> *mut f32 {
        // SAFETY: passed on to the caller.
        unsafe { self.0.add(offset) }
    }
}

/// A slice that threads write parts of that do not overlap, each checked to be within it.
#[derive(Clone, Copy)]
pub(super) struct SharedSlice<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: as with [`SharedPtr`]; the values written may be sent.
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
    /// The slice is still alive, and nobody else reads or writes this place meanwhile.
    pub(super) unsafe fn write(&self, at: usize, value: T) {
        assert!(at < self.len, "a write beyond a shared slice");
        // SAFETY: within the slice, by the check; the rest is the caller's word.
        unsafe { self.start.add(at).write(value) };
    }

    /// The address of `len` values from `at` on.
    ///
    /// # Safety
    ///
    /// The slice is still alive.
    pub(super) unsafe fn place(&self, at: usize, len: usize) -> *mut T {
        assert!(at <= self.len && len <= self.len - at, "a place beyond a shared slice");
        // SAFETY: within the slice, by the check.
        unsafe { self.start.add(at) }
    }

    /// Writes several, from `at` on.
    ///
    /// # Safety
    ///
    /// As [`Self::write`], of all these places.
    pub(super) unsafe fn write_slice(&self, at: usize, values: &[T]) {
        assert!(at <= self.len && values.len() <= self.len - at, "a write beyond a shared slice");
        // SAFETY: as above.
        unsafe { self.start.add(at).copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }
}

/// Runs `f` on `len` numbers of scratch with arbitrary contents, which the thread keeps for the
/// next call. They begin at a cache line, or else half of all vectors would straddle two.
pub(super) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    /// Numbers in a cache line.
    const LINE: usize = 16;
    thread_local! {
        static SCRATCH: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    }
    // Taken out while in use: `f` may need scratch, too, and a kernel that waits for others may be
    // given a task of its own kind. The same depth finds the same buffer again.
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
    fn what_is_written_comes_back() {
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
