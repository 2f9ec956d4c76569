//! The kernels behind the emulated Metal device: those of this workspace, run by the shim, and plain
//! transcriptions of those of candle that its tensors need around them.

mod candle;
mod numbers;
mod products;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_metal_kernels::metal::{Kernel, Launch};
use metal_kernels::Binding;

/// Orders in which the shim takes the threads, one after the other from launch to launch.
const SCHEDULES: u64 = 6;

/// What the overlay calls; see its `emulated_metal_kernel`.
#[unsafe(no_mangle)]
pub fn emulated_metal_kernel(source: &str, name: &str) -> Option<Kernel> {
    let is_ours = metal_kernels::libraries().any(|it| it.1 == source);
    if is_ours { own(source, name) } else { candle::kernel(name) }
}

/// A kernel of this workspace. Its library is known by its text: had the host put another one
/// together than was compiled for the CPU, there would be no kernel.
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
        // SAFETY: the overlay's buffers; whether the kernel keeps to them is what is being tested,
        // and there is a canary behind each.
        unsafe { kernel.launch(&bindings, grid, block, threadgroup_memory, schedule) }
    }))
}
