//! The `.metal` kernels of this workspace as functions on the CPU.
//!
//! The build script translates and compiles them. A kernel is found by the source of its library
//! and its own name, as Metal finds it.

use std::ffi::{CStr, c_char, c_int};

include!(concat!(env!("OUT_DIR"), "/libraries.rs"));

/// A library: the text that is given to Metal, and where its kernels are.
pub(crate) struct Library {
    name: &'static str,
    source: &'static str,
    kernels: unsafe extern "C" fn(*mut usize) -> *const Entry,
}

/// What is bound and how it is launched; the layout is that of `msl_entry.h`.
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

/// A kernel of a library; the layout is that of `msl_entry.h`.
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

/// Memory that a kernel sees at one index.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its first byte.
    pub address: *mut u8,
    /// Bytes up to its end; of a constant, its size.
    pub length: usize,
}

/// The names of all libraries, their sources and the names of their kernels.
pub fn libraries() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    LIBRARIES.iter().map(|it| (it.name, it.source, entries(it).map(|it| it.name).collect()))
}

/// The kernel `name` of the library with this source.
pub fn kernel_of(source: &str, name: &str) -> Option<Kernel> {
    let library = LIBRARIES.iter().find(|it| it.source == source)?;
    entries(library).find(|it| it.name == name)
}

/// The kernel `name` of whichever library has it.
pub fn kernel(name: &str) -> Option<Kernel> {
    LIBRARIES.iter().flat_map(entries).find(|it| it.name == name)
}

fn entries(library: &Library) -> impl Iterator<Item = Kernel> {
    let mut count = 0;
    // SAFETY: the function is the generated one; it writes the number of entries of a table that
    // lives as long as the program, and whose names are literals.
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
    /// What the runtime has found: wrong sizes, barriers that not all threads reach, writes past the
    /// end of threadgroup memory.
    ///
    /// # Safety
    ///
    /// The bindings are valid for what the kernel reads and writes.
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
        // SAFETY: the structure is filled as the C++ side reads it; the buffers are the caller's word.
        let outcome = unsafe { (self.run)(&launch) };
        if outcome == 0 {
            return Ok(());
        }
        // SAFETY: the runtime keeps the words of this thread's last failure.
        let words = unsafe { CStr::from_ptr(msl_last_error()) }.to_string_lossy();
        Err(format!("{}: {words}", self.name))
    }
}
