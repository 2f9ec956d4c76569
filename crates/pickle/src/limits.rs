//! How much a file may ask for.

/// Limits of one reading.
///
/// The defaults leave a factor of at least ten to the largest networks of this field (about
/// 100,000 opcodes and 20,000 memo entries), and bound what a hostile file costs to a few hundred
/// megabytes and a few seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deepest nesting of values; a module costs about 5. Default 400.
    pub depth: usize,
    /// Most memo entries, and the largest index of one. Default 2²⁰.
    pub memo: usize,
    /// Most opcodes of one pickle. Default 2²³.
    pub opcodes: u64,
    /// Most bytes that the values of one pickle take, without the file itself. Default 256 MiB.
    pub allocated: u64,
    /// Most steps of looking through the values of one pickle: one for an entry looked at, one
    /// for a byte that is made of it. It bounds what references can multiply. Default 2²⁶.
    pub walk: u64,
    /// Most bytes that may come out of one file, inflated or as tensors of shared storages, as a
    /// multiple of the file's size; [`Limits::FLOOR`] is always allowed. Default 20.
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
    /// Bytes that may always come out of a file, however small it is.
    pub const FLOOR: u64 = 64 << 20;

    /// The most bytes that may come out of a file of `size` bytes.
    pub fn expanded(&self, size: usize) -> u64 {
        self.expansion.saturating_mul(size as u64).saturating_add(Self::FLOOR)
    }
}
