//! The device, libraries and pipelines.

use std::ffi::c_void;

use objc2::runtime::ProtocolObject;
use objc2_metal::{MTLCompileOptions, MTLComputePipelineState, MTLDevice};

use super::{Buffer, Kernel, MTLResourceOptions, emulated_metal_kernel};
use crate::MetalKernelError;

pub type CommandQueue = ();

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetalDeviceType {
    Phone,
    BasePro,
    Max,
    Ultra,
    Medium,
}

#[derive(Clone, Debug)]
pub struct Device;

impl AsRef<ProtocolObject<dyn MTLDevice>> for Device {
    fn as_ref(&self) -> &ProtocolObject<dyn MTLDevice> {
        unreachable!("the emulated device is not an object")
    }
}

impl Device {
    pub fn registry_id(&self) -> u64 {
        1
    }

    pub fn all() -> Vec<Self> {
        vec![Self]
    }

    pub fn system_default() -> Option<Self> {
        Some(Self)
    }

    pub fn new_buffer(
        &self,
        length: usize,
        _: MTLResourceOptions,
    ) -> Result<Buffer, MetalKernelError> {
        Ok(Buffer::allocate(length))
    }

    pub fn new_buffer_with_data(
        &self,
        data: *const c_void,
        length: usize,
        _: MTLResourceOptions,
    ) -> Result<Buffer, MetalKernelError> {
        let buffer = Buffer::allocate(length);
        // SAFETY: the caller's memory has this length, and so does the buffer.
        unsafe { std::ptr::copy_nonoverlapping(data.cast(), buffer.data(), length) };
        Ok(buffer)
    }

    pub fn new_library_with_source(
        &self,
        source: &str,
        _: Option<&MTLCompileOptions>,
    ) -> Result<Library, MetalKernelError> {
        Ok(Library { source: source.into() })
    }

    pub fn new_compute_pipeline_state_with_function(
        &self,
        function: &Function,
    ) -> Result<ComputePipeline, MetalKernelError> {
        let Function { name, kernel } = function;
        Ok(ComputePipeline { name: name.clone(), kernel: kernel.clone() })
    }

    pub fn new_command_queue(&self) -> Result<CommandQueue, MetalKernelError> {
        Ok(())
    }

    pub fn recommended_max_working_set_size(&self) -> usize {
        1 << 32
    }

    pub fn current_allocated_size(&self) -> usize {
        0
    }

    pub fn architecture_name(&self) -> String {
        "emulated".into()
    }

    pub fn device_type(&self) -> MetalDeviceType {
        MetalDeviceType::Medium
    }
}

#[derive(Clone, Debug)]
pub struct Library {
    source: String,
}

impl Library {
    /// Ignores the constants, which only make a kernel faster for some sizes.
    pub fn get_function(
        &self,
        name: &str,
        _: Option<&ConstantValues>,
    ) -> Result<Function, MetalKernelError> {
        // SAFETY: the program defines the function with this signature.
        let kernel = unsafe { emulated_metal_kernel(&self.source, name) };
        match kernel {
            Some(kernel) => Ok(Function { name: name.into(), kernel }),
            None => Err(MetalKernelError::LoadFunctionError(format!("{name} is not emulated"))),
        }
    }
}

pub struct Function {
    name: String,
    kernel: Kernel,
}

#[derive(Clone)]
pub struct ComputePipeline {
    pub(crate) name: String,
    pub(crate) kernel: Kernel,
}

impl std::fmt::Debug for ComputePipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl ComputePipeline {
    pub fn max_total_threads_per_threadgroup(&self) -> usize {
        1024
    }
}

impl AsRef<ProtocolObject<dyn MTLComputePipelineState>> for ComputePipeline {
    fn as_ref(&self) -> &ProtocolObject<dyn MTLComputePipelineState> {
        unreachable!("the emulated pipeline is not an object")
    }
}

#[derive(Debug, PartialEq)]
pub enum Value {
    USize(usize),
    Bool(bool),
    F32(f32),
    U16(u16),
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        format!("{self:?}").hash(state);
    }
}

#[derive(Debug, Eq, PartialEq, Hash)]
pub struct ConstantValues(Vec<(usize, Value)>);

impl ConstantValues {
    pub fn new(values: Vec<(usize, Value)>) -> Self {
        Self(values)
    }
}

pub struct ResidencySet;

impl ResidencySet {
    pub fn new(_: &Device) -> Self {
        Self
    }

    pub fn insert(&self, _: &Buffer) {}

    pub fn insert_batch<'a>(&self, _: impl IntoIterator<Item = &'a Buffer>) {}

    pub fn remove_batch<'a>(&self, _: impl IntoIterator<Item = &'a Buffer>) {}

    pub fn remove(&self, _: &Buffer) {}
}
