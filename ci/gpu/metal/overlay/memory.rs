//! Buffers: filled with NaN at first, with a canary behind the end.

use std::collections::HashMap;
use std::sync::Arc;

use objc2_foundation::NSRange;

pub type MTLResourceOptions = objc2_metal::MTLResourceOptions;
pub type BufferMap = HashMap<usize, Vec<Arc<Buffer>>>;

/// Bytes per word of memory; buffers are aligned to it.
const WORD: usize = 16;
/// Number of words of the canary.
const GUARD: usize = 16;
/// Initial bits: all ones are NaN in every floating-point type.
const UNWRITTEN: u128 = u128::MAX;
const CANARY: u128 = 0xA5A5_A5A5_A5A5_A5A5_A5A5_A5A5_A5A5_A5A5;

struct Memory {
    words: *mut [u128],
    length: usize,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box, and this is its only owner.
        drop(unsafe { Box::from_raw(self.words) });
    }
}

#[derive(Clone)]
pub struct Buffer {
    memory: Arc<Memory>,
}

// SAFETY: one launch at a time reads and writes the memory, as on a GPU.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.length())
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }
}

impl Buffer {
    pub(crate) fn allocate(length: usize) -> Self {
        let words = length.div_ceil(WORD);
        let mut memory = vec![UNWRITTEN; words + GUARD].into_boxed_slice();
        memory[words..].fill(CANARY);
        Self { memory: Arc::new(Memory { words: Box::into_raw(memory), length }) }
    }

    /// Returns the contents.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        // SAFETY: the memory has this length, and nothing writes to it between launches.
        unsafe { std::slice::from_raw_parts(self.data(), self.length()) }.to_vec()
    }

    /// Tests whether the canary is unchanged.
    pub(crate) fn is_intact(&self) -> bool {
        // SAFETY: as above.
        let words = unsafe { &*self.memory.words };
        words[words.len() - GUARD..].iter().all(|it| *it == CANARY)
    }

    pub fn contents(&self) -> *mut u8 {
        self.data()
    }

    pub fn data(&self) -> *mut u8 {
        self.memory.words.cast()
    }

    pub fn length(&self) -> usize {
        self.memory.length
    }

    pub fn did_modify_range(&self, _: NSRange) {}

    pub fn set_label(&self, _: &str) {}
}
