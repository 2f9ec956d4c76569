//! This workspace's `.metal` kernels as functions on the CPU.
//!
//! The build script translates and compiles them. As in Metal, a kernel is found by the source of
//! its library and its name.

use std::ffi::{CStr, c_char, c_int};

include!(concat!(env!("OUT_DIR"), "/libraries.rs"));

/// A library: its source and its kernels.
pub(crate) struct Library {
    name: &'static str,
    source: &'static str,
    kernels: unsafe extern "C" fn(*mut usize) -> *const Entry,
}

/// Bindings and sizes of a launch, with the layout of `msl_entry.h`.
#[repr(C)]
struct Launch {
    buffers: *const *mut u8,
    lengths: *const usize,
    count: usize,
    grid: *const u32,
    block: *const u32,
    threadgroup_memory: usize,
    schedule: u64,
}

/// A kernel of a library, with the layout of `msl_entry.h`.
#[repr(C)]
pub(crate) struct Entry {
    name: *const c_char,
    run: unsafe extern "C" fn(*const Launch) -> c_int,
}

unsafe extern "C" {
    fn msl_last_error() -> *const c_char;
}

/// A kernel that can be launched.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    name: &'static str,
    run: unsafe extern "C" fn(*const Launch) -> c_int,
}

/// Memory bound at one index.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// First byte.
    pub address: *mut u8,
    /// Number of bytes up to the end of the buffer; the size of a constant.
    pub length: usize,
}

/// Returns the name, the source and the kernels' names of every library.
pub fn libraries() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    LIBRARIES.iter().map(|it| (it.name, it.source, entries(it).map(|it| it.name).collect()))
}

/// Returns the kernel `name` of the library with this source.
pub fn kernel_of(source: &str, name: &str) -> Option<Kernel> {
    let library = LIBRARIES.iter().find(|it| it.source == source)?;
    entries(library).find(|it| it.name == name)
}

/// Returns the kernel `name` of any library.
pub fn kernel(name: &str) -> Option<Kernel> {
    LIBRARIES.iter().flat_map(entries).find(|it| it.name == name)
}

fn entries(library: &Library) -> impl Iterator<Item = Kernel> {
    let mut count = 0;
    // SAFETY: this is the generated function. It writes the number of entries of a table that
    // exists as long as the program and whose names are literals.
    let entries = unsafe { std::slice::from_raw_parts((library.kernels)(&mut count), count) };
    entries.iter().map(|it| {
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(it.name) };
        Kernel { name: name.to_str().unwrap_or_default(), run: it.run }
    })
}

impl Kernel {
    /// Runs `grid` threadgroups of `block` threads each.
    ///
    /// # Errors
    ///
    /// If the runtime finds a fault: invalid sizes, barriers that not all threads reach, writes
    /// past the end of threadgroup memory.
    ///
    /// # Safety
    ///
    /// The bindings must be valid for everything that the kernel reads and writes.
    pub unsafe fn launch(
        &self,
        bindings: &[Binding],
        grid: [u32; 3],
        block: [u32; 3],
        threadgroup_memory: usize,
        schedule: u64,
    ) -> Result<(), String> {
        let buffers: Vec<_> = bindings.iter().map(|it| it.address).collect();
        let lengths: Vec<_> = bindings.iter().map(|it| it.length).collect();
        let launch = Launch {
            buffers: buffers.as_ptr(),
            lengths: lengths.as_ptr(),
            count: bindings.len(),
            grid: grid.as_ptr(),
            block: block.as_ptr(),
            threadgroup_memory,
            schedule,
        };
        // SAFETY: the structure has the C++ layout; the caller guarantees the buffers.
        let outcome = unsafe { (self.run)(&launch) };
        if outcome == 0 {
            return Ok(());
        }
        // SAFETY: the runtime keeps the message of this thread's last failure.
        let words = unsafe { CStr::from_ptr(msl_last_error()) }.to_string_lossy();
        Err(format!("{}: {words}", self.name))
    }
}
