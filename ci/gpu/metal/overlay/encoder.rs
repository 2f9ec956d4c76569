//! Encoders: arguments by index, and launches, which run immediately.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use objc2_metal::MTLSize;

use super::{Buffer, CommandQueue, ComputePipeline, Launch, ResidencySet};
use crate::MetalKernelError;

enum Bound {
    Buffer { buffer: Buffer, offset: usize, is_output: bool },
    Constant(Vec<u128>, usize),
}

#[derive(Default)]
struct State {
    pipeline: Option<ComputePipeline>,
    bound: BTreeMap<usize, Bound>,
    threadgroup_memory: BTreeMap<usize, usize>,
}

#[derive(Default)]
pub struct ComputeCommandEncoder {
    state: Mutex<State>,
}

impl AsRef<ComputeCommandEncoder> for ComputeCommandEncoder {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl ComputeCommandEncoder {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_threadgroup_memory_length(&self, index: usize, length: usize) {
        assert!(
            length.is_multiple_of(16),
            "threadgroup memory must be a multiple of 16 bytes: {length}"
        );
        self.state().threadgroup_memory.insert(index, length);
    }

    /// Launches whole threadgroups. The emulated candle kernels that are launched this way do not
    /// read their position in the grid.
    pub fn dispatch_threads(&self, threads: MTLSize, group: MTLSize) {
        let groups = MTLSize {
            width: threads.width.div_ceil(group.width),
            height: threads.height.div_ceil(group.height),
            depth: threads.depth.div_ceil(group.depth),
        };
        self.dispatch_thread_groups(groups, group);
    }

    pub fn dispatch_thread_groups(&self, groups: MTLSize, threads: MTLSize) {
        let mut state = self.state();
        let pipeline = state.pipeline.clone().expect("no pipeline is set");
        let name = &pipeline.name;
        let count = state.bound.keys().last().map_or(0, |last| last + 1);
        let bindings: Vec<_> = (0..count)
            .map(|index| match state.bound.get(&index) {
                Some(Bound::Buffer { buffer, offset, .. }) => {
                    assert!(
                        *offset <= buffer.length(),
                        "{name}: buffer {index} ends before {offset}"
                    );
                    // SAFETY: the address is within the buffer, as just checked.
                    (unsafe { buffer.data().add(*offset) }, buffer.length() - offset)
                }
                Some(Bound::Constant(words, length)) => (words.as_ptr().cast_mut().cast(), *length),
                None => (std::ptr::null_mut(), 0),
            })
            .collect();
        let before = state.inputs();
        let three = |it: MTLSize| [it.width as u32, it.height as u32, it.depth as u32];
        let launch = Launch {
            bindings: &bindings,
            grid: three(groups),
            block: three(threads),
            threadgroup_memory: state.threadgroup_memory.values().sum(),
        };
        let outcome = (pipeline.kernel)(&launch);
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
        state.check(name, &before);
        *state = State { pipeline: state.pipeline.take(), ..State::default() };
    }

    pub fn set_input_buffer(&self, index: usize, buffer: Option<&Buffer>, offset: usize) {
        self.bind(index, buffer, offset, false);
    }

    pub fn set_output_buffer(&self, index: usize, buffer: Option<&Buffer>, offset: usize) {
        self.bind(index, buffer, offset, true);
    }

    fn bind(&self, index: usize, buffer: Option<&Buffer>, offset: usize, is_output: bool) {
        if let Some(buffer) = buffer {
            let bound = Bound::Buffer { buffer: buffer.clone(), offset, is_output };
            self.state().bound.insert(index, bound);
        }
    }

    pub fn set_bytes_directly(&self, index: usize, length: usize, bytes: *const c_void) {
        assert!(length <= 4096, "a constant has at most 4 KiB");
        let mut words = vec![0u128; length.div_ceil(16)];
        // SAFETY: the caller's memory has this length, and the words have room for it.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.cast(), words.as_mut_ptr().cast::<u8>(), length)
        };
        self.state().bound.insert(index, Bound::Constant(words, length));
    }

    pub fn set_bytes<T>(&self, index: usize, data: &T) {
        self.set_bytes_directly(index, size_of::<T>(), std::ptr::from_ref(data).cast());
    }

    pub fn set_compute_pipeline_state(&self, pipeline: &ComputePipeline) {
        self.state().pipeline = Some(pipeline.clone());
    }

    pub fn insert_memory_barrier(&self) {}

    pub fn end_encoding(&self) {}

    pub fn encode_pipeline(&mut self, pipeline: &ComputePipeline) {
        self.set_compute_pipeline_state(pipeline);
    }

    pub fn set_label(&self, _: &str) {}
}

impl State {
    /// Returns the contents of the buffers that are bound as inputs only.
    fn inputs(&self) -> Vec<(usize, Buffer, Vec<u8>)> {
        let is_written = |buffer: &Buffer| {
            self.bound.values().any(
                |it| matches!(it, Bound::Buffer { buffer: other, is_output: true, .. } if other == buffer),
            )
        };
        let of = |(index, bound): (&usize, &Bound)| match bound {
            Bound::Buffer { buffer, .. } if !is_written(buffer) => {
                Some((*index, buffer.clone(), buffer.bytes()))
            }
            _ => None,
        };
        self.bound.iter().filter_map(of).collect()
    }

    fn check(&self, name: &str, before: &[(usize, Buffer, Vec<u8>)]) {
        for (index, bound) in &self.bound {
            if let Bound::Buffer { buffer, .. } = bound {
                assert!(buffer.is_intact(), "{name}: wrote past the end of buffer {index}");
            }
        }
        for (index, buffer, bytes) in before {
            assert!(buffer.bytes() == *bytes, "{name}: wrote to buffer {index}, bound as an input");
        }
    }
}

pub struct Commands {
    encoder: Mutex<ComputeCommandEncoder>,
}

pub struct CommandsGuard<'a> {
    encoder: MutexGuard<'a, ComputeCommandEncoder>,
}

impl AsRef<ComputeCommandEncoder> for CommandsGuard<'_> {
    fn as_ref(&self) -> &ComputeCommandEncoder {
        &self.encoder
    }
}

impl CommandsGuard<'_> {
    pub fn set_label(&self, _: &str) {}

    pub fn set_compute_pipeline_state(&self, pipeline: &ComputePipeline) {
        self.encoder.set_compute_pipeline_state(pipeline);
    }
}

pub struct BlitCommandsGuard<'a> {
    _encoder: MutexGuard<'a, ComputeCommandEncoder>,
}

impl BlitCommandsGuard<'_> {
    pub fn set_label(&self, _: &str) {}

    pub fn copy_from_buffer(
        &mut self,
        source: &Buffer,
        source_offset: usize,
        target: &Buffer,
        target_offset: usize,
        length: usize,
    ) {
        assert!(source_offset + length <= source.length(), "a copy past the end of its source");
        assert!(target_offset + length <= target.length(), "a copy past the end of its target");
        // SAFETY: both ranges are within their buffers, as just checked.
        unsafe {
            std::ptr::copy(
                source.data().add(source_offset),
                target.data().add(target_offset),
                length,
            );
        }
    }

    pub fn fill_buffer(&mut self, buffer: &Buffer, (start, length): (usize, usize), value: u8) {
        assert!(start + length <= buffer.length(), "a fill past the end of its buffer");
        // SAFETY: the range is within the buffer, as just checked.
        unsafe { std::ptr::write_bytes(buffer.data().add(start), value, length) };
    }
}

impl Commands {
    pub fn new(_: CommandQueue, _: &ResidencySet) -> Result<Self, MetalKernelError> {
        Ok(Self { encoder: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, ComputeCommandEncoder> {
        // A launch that panicked has failed its test; the other tests go on.
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn command_encoder(&self) -> Result<CommandsGuard<'_>, MetalKernelError> {
        Ok(CommandsGuard { encoder: self.lock() })
    }

    pub fn blit_command_encoder(&self) -> Result<BlitCommandsGuard<'_>, MetalKernelError> {
        Ok(BlitCommandsGuard { _encoder: self.lock() })
    }

    pub fn wait_until_completed(&self) -> Result<(), MetalKernelError> {
        Ok(())
    }

    pub fn flush_and_wait(&self) -> Result<(), MetalKernelError> {
        Ok(())
    }

    pub fn flush_and_wait_current(&self) -> Result<(), MetalKernelError> {
        Ok(())
    }

    pub fn flush(&self) -> Result<(), MetalKernelError> {
        Ok(())
    }
}
