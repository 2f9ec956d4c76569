//! Kernels of the emulated Metal device: this workspace's kernels, run by the shim, and plain
//! versions of the candle kernels that tensors also need.

mod candle;
mod products;
mod values;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_metal_kernels::metal::{Kernel, Launch};
use metal_kernels::Binding;

/// Number of schedules. Each launch uses the next one.
const SCHEDULES: u64 = 6;

/// Entry point of the overlay; see its `emulated_metal_kernel`.
#[unsafe(no_mangle)]
pub fn emulated_metal_kernel(source: &str, name: &str) -> Option<Kernel> {
    let is_ours = metal_kernels::libraries().any(|it| it.1 == source);
    if is_ours { own(source, name) } else { candle::kernel(name) }
}

/// Returns a kernel of this workspace. The source identifies its library, so a kernel is missing if
/// the host assembles another source than the one compiled for the CPU.
fn own(source: &str, name: &str) -> Option<Kernel> {
    static LAUNCHES: AtomicU64 = AtomicU64::new(0);
    let kernel = metal_kernels::kernel_of(source, name)?;
    Some(Arc::new(move |launch: &Launch<'_>| {
        if let Some(index) = launch.bindings.iter().position(|it| it.0.is_null()) {
            return Err(format!("nothing is bound at index {index}"));
        }
        let bindings: Vec<_> =
            launch.bindings.iter().map(|it| Binding { address: it.0, length: it.1 }).collect();
        let Launch { grid, block, threadgroup_memory, .. } = *launch;
        let schedule = LAUNCHES.fetch_add(1, Ordering::Relaxed) % SCHEDULES;
        // SAFETY: these are the overlay's buffers. The tests check whether the kernel stays within
        // them, with a canary behind each.
        unsafe { kernel.launch(&bindings, grid, block, threadgroup_memory, schedule) }
    }))
}
