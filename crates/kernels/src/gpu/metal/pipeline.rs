//! Kernels compiled from their sources, once per process.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use candle_core::{Result, bail};
use candle_metal_kernels::metal::{ComputePipeline, Device, Library as Compiled};
use objc2_metal::{MTLCompileOptions, MTLComputePipelineState};

use super::SIMD;

/// The kernels of one `.metal` file. Metal compiles them at run time.
pub(crate) struct Library {
    /// Key of the compiled library.
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
}

/// The [`Library`] with this name: the prelude and these files of the crate's sources.
macro_rules! library {
    ($name:literal, $($file:literal),+) => {
        $crate::gpu::metal::Library {
            name: $name,
            source: concat!(
                $crate::gpu::metal::source!("gpu/prelude.metal"),
                $($crate::gpu::metal::source!($file)),+
            ),
        }
    };
}
pub(crate) use library;

/// The text of a file of the crate's sources.
macro_rules! source {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $file))
    };
}
pub(crate) use source;

/// Compiled kernels by device, which is identified by its number in the system's registry.
#[derive(Default)]
struct Cache {
    libraries: HashMap<(u64, &'static str), Compiled>,
    pipelines: HashMap<(u64, &'static str, String), ComputePipeline>,
}

/// A kernel that is ready to launch. candle caches only its own kernels.
pub(super) fn get(device: &Device, library: &Library, kernel: &str) -> Result<ComputePipeline> {
    static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);
    let id = device.registry_id();
    let key = (id, library.name, kernel.to_owned());
    // A panic while the lock was held cannot have left an incomplete entry.
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pipeline) = cache.pipelines.get(&key) {
        return Ok(pipeline.clone());
    }
    let compiled = match cache.libraries.get(&(id, library.name)) {
        Some(compiled) => compiled.clone(),
        None => {
            let compiled = compile(device, library)?;
            cache.libraries.insert((id, library.name), compiled.clone());
            compiled
        }
    };
    let pipeline = compiled
        .get_function(kernel, None)
        .and_then(|function| device.new_compute_pipeline_state_with_function(&function));
    let pipeline = match pipeline {
        Ok(pipeline) => pipeline,
        Err(error) => bail!("{kernel}: this system's Metal rejects the kernel: {error}"),
    };
    let width = simd_width(&pipeline);
    if width != SIMD {
        bail!(
            "{kernel}: this GPU has SIMD-groups of {width} threads, the kernels need {SIMD}; use `cpu`"
        );
    }
    cache.pipelines.insert(key, pipeline.clone());
    Ok(pipeline)
}

fn compile(device: &Device, library: &Library) -> Result<Compiled> {
    // Fast arithmetic, the default, does not handle NaN and infinity. The emulated device, which is
    // not based on Apple's runtime, has no object for the options.
    let options = cfg!(target_vendor = "apple").then(|| {
        let options = MTLCompileOptions::new();
        // Its successor requires macOS 15.
        #[allow(deprecated)]
        options.setFastMathEnabled(false);
        options
    });
    match device.new_library_with_source(library.source, options.as_deref()) {
        Ok(compiled) => Ok(compiled),
        Err(error) => bail!("{}: Metal cannot compile the kernels: {error}", library.name),
    }
}

/// Threads per SIMD-group.
fn simd_width(pipeline: &ComputePipeline) -> usize {
    if cfg!(target_vendor = "apple") { pipeline.as_ref().threadExecutionWidth() } else { SIMD }
}
