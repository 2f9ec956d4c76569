//! Metal on a machine without it: replaces the module `metal` of candle's kernels.
//!
//! The same types on memory of the host. Launches run immediately. The program provides a function
//! for each pair of library source and kernel name (see [`Kernel`]). A faulty launch panics: a
//! missing argument, a write past the end of a buffer, or a write to a buffer bound as an input.
//! The last matters because candle places its barriers according to the bindings.

mod device;
mod encoder;
mod memory;

pub use device::*;
pub use encoder::*;
pub use memory::*;

/// A kernel. It runs on the bound memory, or returns an error that describes a faulty launch.
pub type Kernel = std::sync::Arc<dyn Fn(&Launch<'_>) -> Result<(), String> + Send + Sync>;

/// Bindings and sizes of a launch.
pub struct Launch<'a> {
    /// Memory by index: first byte, and number of bytes up to the end of the buffer or constant;
    /// null if nothing is bound.
    pub bindings: &'a [(*mut u8, usize)],
    /// Number of threadgroups.
    pub grid: [u32; 3],
    /// Threads per threadgroup.
    pub block: [u32; 3],
    /// Bytes of threadgroup memory.
    pub threadgroup_memory: usize,
}

unsafe extern "Rust" {
    /// Returns the kernel `name` of the library with this source. The linked program defines this
    /// function.
    pub(crate) fn emulated_metal_kernel(source: &str, name: &str) -> Option<Kernel>;
}
