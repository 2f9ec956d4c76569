//! Metal on a machine without it: takes the place of the module `metal` of candle's kernels.
//!
//! The same names over memory of the host. Launches happen at once; kernels are functions that the
//! program finds for a library's source and a name (see [`Kernel`]). What a launch does wrong is a
//! panic: a missing argument, a write past the end of a buffer or to one that was bound as an
//! input, for candle's barriers go by that.

mod device;
mod encoder;
mod memory;

pub use device::*;
pub use encoder::*;
pub use memory::*;

/// A kernel: runs on what is bound, or tells what is wrong with the launch.
pub type Kernel = std::sync::Arc<dyn Fn(&Launch<'_>) -> Result<(), String> + Send + Sync>;

/// What a kernel is launched with.
pub struct Launch<'a> {
    /// Memory by index: the first byte, and the bytes up to the end of the buffer or constant; null
    /// where nothing is bound.
    pub bindings: &'a [(*mut u8, usize)],
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Threads of one.
    pub block: [u32; 3],
    /// Bytes.
    pub threadgroup_memory: usize,
}

unsafe extern "Rust" {
    /// The kernel `name` of the library with this source. The program that is linked defines it.
    pub(crate) fn emulated_metal_kernel(source: &str, name: &str) -> Option<Kernel>;
}
