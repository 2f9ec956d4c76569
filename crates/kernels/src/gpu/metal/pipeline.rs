//! Kernels compiled from their sources, once a process.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use candle_core::{Result, bail};
use candle_metal_kernels::metal::{ComputePipeline, Device, Library as Compiled};
use objc2_metal::{MTLCompileOptions, MTLComputePipelineState};

use super::SIMD;

/// The kernels of one `.metal` file. Metal compiles them at run time.
pub(crate) struct Library {
    /// What the compiled library is kept under.
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
}

/// The [`Library`] of this name, of the prelude and these files in the operations' folder.
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

/// The text of a file in the operations' folder.
macro_rules! source {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/", $file))
    };
}
pub(crate) use source;

/// What has been compiled; a device is known by its number in the system's registry.
#[derive(Default)]
struct Cache {
    libraries: HashMap<(u64, &'static str), Compiled>,
    pipelines: HashMap<(u64, &'static str, String), ComputePipeline>,
}

/// A kernel ready to be launched. candle keeps only its own.
pub(super) fn get(device: &Device, library: &Library, kernel: &str) -> Result<ComputePipeline> {
    static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);
    let id = device.registry_id();
    let key = (id, library.name, kernel.to_owned());
    // A panic elsewhere while it was held cannot have left half an entry.
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
        Err(error) => bail!("{kernel}: this system's Metal does not make the kernel: {error}"),
    };
    let width = simd_width(&pipeline);
    if width != SIMD {
        bail!("{kernel}: this GPU has SIMD-groups of {width} threads, the kernels need {SIMD}");
    }
    cache.pipelines.insert(key, pipeline.clone());
    Ok(pipeline)
}

fn compile(device: &Device, library: &Library) -> Result<Compiled> {
    // Fast arithmetic, the default, knows neither NaN nor infinity. Without Apple's runtime, on the
    // emulated device, there is no object for the options.
    let options = cfg!(target_vendor = "apple").then(|| {
        let options = MTLCompileOptions::new();
        // Its successor is not there before macOS 15.
        #[allow(deprecated)]
        options.setFastMathEnabled(false);
        options
    });
    match device.new_library_with_source(library.source, options.as_deref()) {
        Ok(compiled) => Ok(compiled),
        Err(error) => bail!("{}: Metal does not compile the kernels: {error}", library.name),
    }
}

/// Threads of a SIMD-group.
fn simd_width(pipeline: &ComputePipeline) -> usize {
    if cfg!(target_vendor = "apple") { pipeline.as_ref().threadExecutionWidth() } else { SIMD }
}
