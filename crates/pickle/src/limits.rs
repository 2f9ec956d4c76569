//! Limits on time and memory.

/// Limits on the time and memory of reading one file.
///
/// The defaults are at least ten times what the largest networks of this field need (about 100,000
/// opcodes and 20,000 memo entries). They bound the cost of a hostile file to a few hundred
/// megabytes and a few seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Levels of nesting; a module needs about 5. Default 400.
    pub depth: usize,
    /// Memo entries, and their largest index. Default 2²⁰.
    pub memo: usize,
    /// Opcodes per pickle. Default 2²³.
    pub opcodes: u64,
    /// Bytes of memory for the values of one pickle, without the file itself. Default 256 MiB.
    pub allocated: u64,
    /// Steps while the values of one pickle are interpreted: one per visited entry and per byte
    /// copied from it. Bounds the cost of values that are referenced many times. Default 2²⁶.
    pub walk: u64,
    /// Bytes that one file may expand to, inflated or as tensors of shared storages, as a multiple
    /// of the file's size. [`Limits::FLOOR`] bytes are always allowed. Default 20.
    pub expansion: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 400,
            memo: 1 << 20,
            opcodes: 1 << 23,
            allocated: 256 << 20,
            walk: 1 << 26,
            expansion: 20,
        }
    }
}

impl Limits {
    /// Bytes that any file may expand to.
    pub const FLOOR: u64 = 64 << 20;

    /// Bytes that a file of `size` bytes may expand to.
    pub fn expanded(&self, size: usize) -> u64 {
        self.expansion.saturating_mul(size as u64).saturating_add(Self::FLOOR)
    }
}
