//! Launches of kernels on an Apple GPU: arguments, outputs, sizes.

mod arm;
mod pipeline;

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::op::BackpropOp;
use candle_core::{DType, Device, Layout, MetalDevice, MetalStorage, Result, Shape, Storage};
use candle_core::{StorageRef, Tensor, bail};
use candle_metal_kernels::metal::{Buffer, ComputeCommandEncoder};
use objc2_metal::MTLSize;

use crate::runtime::{Kernels, kernels};

pub(crate) use arm::{Arm, apply1, apply2, apply3};
pub(crate) use pipeline::{Library, library, source};

/// Threads per threadgroup, of kernels that accept any number and of those that require this one.
pub(crate) const THREADS: usize = 256;

/// Threads per SIMD-group, on every GPU that [`pipeline`] accepts.
pub(crate) const SIMD: usize = 32;

/// Floats of threadgroup memory that `block_sum` needs: one per possible SIMD-group.
pub(crate) const SUM_FLOATS: usize = 32;

/// Kernels that several operations use.
static SHARED: Library = library!("shared", "gpu/reduce.metal");

/// True if the kernels support these operands: on the GPU, in one of the three types.
pub(crate) fn holds(operands: &[&Tensor]) -> bool {
    let dtype = operands.first().map(|it| it.dtype());
    let fits = |it: &&Tensor| it.device().is_metal() && Some(it.dtype()) == dtype;
    let typed = matches!(dtype, Some(DType::F32 | DType::F16 | DType::BF16));
    kernels() != Kernels::Off && typed && operands.iter().all(fits)
}

/// True if the kernels write to tensors of this device.
pub(crate) fn drives(device: &Device) -> bool {
    kernels() != Kernels::Off && device.is_metal()
}

/// Operand in the form of candle's custom operations.
pub(crate) type Operand<'a> = (&'a MetalStorage, &'a Layout);

/// A tensor locked for reading, outside a custom operation.
pub(crate) struct Reading<'a>(StorageRef<'a>, &'a Layout);

impl<'a> Reading<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self(storage, layout)
    }

    pub(crate) fn operand(&self) -> Result<Operand<'_>> {
        match &*self.0 {
            Storage::Metal(storage) => Ok((storage, self.1)),
            _ => bail!("a Metal kernel received a tensor on another device"),
        }
    }
}

/// Memory for `len` elements of this type. Their values are undefined until a kernel writes them.
pub(crate) fn empty(device: &MetalDevice, dtype: DType, len: usize) -> Result<MetalStorage> {
    let len = counted(len)?;
    let buffer: Arc<Buffer> = device.new_buffer(len, dtype, "output")?;
    Ok(MetalStorage::new(buffer, device.clone(), len, dtype))
}

/// A tensor of these elements, outside candle's graph.
pub(crate) fn tensor(storage: MetalStorage, shape: &Shape) -> Tensor {
    Tensor::from_storage(Storage::Metal(storage), shape.clone(), BackpropOp::none(), false)
}

/// `len` as an index of the kernels.
fn counted(len: usize) -> Result<usize> {
    match u32::try_from(len) {
        Ok(_) => Ok(len),
        Err(_) => bail!("{len} elements exceed the 32 bits of a GPU kernel's index"),
    }
}

/// Suffix of the kernels for this type.
fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::F16 => Ok("f16"),
        DType::BF16 => Ok("bf16"),
        _ => bail!("there are no kernels for {dtype:?}"),
    }
}

/// Member of a constant structure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// A `uint`.
    Size(usize),
    /// A `uint` that is 0 or 1.
    Flag(bool),
    /// A `ulong`, at an offset that is a multiple of eight.
    Long(u64),
    /// A `float`.
    Float(f64),
}

enum Argument<'a> {
    Input(&'a Buffer, usize),
    Output(&'a Buffer, usize),
    Constant(Vec<u32>),
}

/// A kernel and its arguments so far, in the order of its parameters.
pub(crate) struct Call<'a> {
    device: &'a MetalDevice,
    library: &'static Library,
    kernel: String,
    arguments: Vec<Argument<'a>>,
    /// Bytes of threadgroup memory.
    shared: usize,
}

impl<'a> Call<'a> {
    /// Loads the kernel with this name for type `dtype`.
    pub(crate) fn new(
        device: &'a MetalDevice,
        library: &'static Library,
        name: &str,
        dtype: DType,
    ) -> Result<Self> {
        let kernel = format!("{name}_{}", suffix(dtype)?);
        Ok(Self { device, library, kernel, arguments: Vec::new(), shared: 0 })
    }

    /// Adds an array that the kernel reads: the elements of the layout, which must be contiguous.
    pub(crate) fn input(mut self, operand: Operand<'a>) -> Result<Self> {
        let (buffer, offset) = place(operand)?;
        self.arguments.push(Argument::Input(buffer, offset));
        Ok(self)
    }

    /// Adds an array that the kernel reads: the whole storage.
    pub(crate) fn scratch(mut self, storage: &'a MetalStorage) -> Self {
        self.arguments.push(Argument::Input(storage.buffer(), 0));
        self
    }

    /// Adds an array that the kernel writes: the whole storage.
    pub(crate) fn output(mut self, storage: &'a MetalStorage) -> Self {
        self.arguments.push(Argument::Output(storage.buffer(), 0));
        self
    }

    /// Adds an array that the kernel changes: the elements of the layout, which must be contiguous.
    pub(crate) fn in_place(mut self, operand: Operand<'a>) -> Result<Self> {
        let (buffer, offset) = place(operand)?;
        self.arguments.push(Argument::Output(buffer, offset));
        Ok(self)
    }

    /// Adds a constant: a structure of these members, or a single value.
    pub(crate) fn constant(mut self, words: &[Word]) -> Result<Self> {
        let mut constant = Vec::new();
        for word in words {
            match *word {
                Word::Size(size) => constant.push(counted(size)? as u32),
                Word::Flag(flag) => constant.push(u32::from(flag)),
                Word::Long(long) => constant.extend([long as u32, (long >> 32) as u32]),
                Word::Float(float) => constant.push((float as f32).to_bits()),
            }
        }
        self.arguments.push(Argument::Constant(constant));
        Ok(self)
    }

    /// Adds threadgroup memory of this many floats.
    pub(crate) fn shared(mut self, floats: usize) -> Self {
        // Metal requires a multiple of 16 bytes.
        self.shared = (floats * size_of::<f32>()).next_multiple_of(16);
        self
    }

    /// Launches a kernel with one thread for each of `len` elements.
    pub(crate) fn launch_for(self, len: usize) -> Result<()> {
        self.launch([len.div_ceil(THREADS), 1, 1], THREADS)
    }

    /// Launches the kernel with `grid` threadgroups. An empty grid is not launched.
    pub(crate) fn launch(self, grid: [usize; 3], threads: usize) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let pipeline = pipeline::get(self.device.device(), self.library, &self.kernel)?;
        if pipeline.max_total_threads_per_threadgroup() < threads {
            bail!(
                "{}: this GPU supports fewer than {threads} threads per threadgroup; use `cpu`",
                self.kernel
            );
        }
        let guard = self.device.command_encoder()?;
        let encoder: &ComputeCommandEncoder = guard.as_ref();
        encoder.set_compute_pipeline_state(&pipeline);
        for (index, argument) in self.arguments.iter().enumerate() {
            match argument {
                // candle orders launches by the arrays declared here as read and written.
                Argument::Input(buffer, offset) => {
                    encoder.set_input_buffer(index, Some(buffer), *offset);
                }
                Argument::Output(buffer, offset) => {
                    encoder.set_output_buffer(index, Some(buffer), *offset);
                }
                Argument::Constant(words) => {
                    let bytes = size_of_val(words.as_slice());
                    encoder.set_bytes_directly(index, bytes, words.as_ptr().cast());
                }
            }
        }
        if self.shared != 0 {
            encoder.set_threadgroup_memory_length(0, self.shared);
        }
        let [width, height, depth] = grid;
        let threads = MTLSize { width: threads, height: 1, depth: 1 };
        encoder.dispatch_thread_groups(MTLSize { width, height, depth }, threads);
        Ok(())
    }
}

/// The buffer of a contiguous operand, and the offset of its elements in bytes.
fn place<'a>((storage, layout): Operand<'a>) -> Result<(&'a Buffer, usize)> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a kernel received a tensor that is not contiguous")
    };
    counted(end - start)?;
    Ok((storage.buffer(), start * storage.dtype().size_in_bytes()))
}

/// `Σ_i x[r, i]` in f32 for `x: [count, length]`.
pub(crate) fn sum_rows(x: Operand<'_>, count: usize, length: usize) -> Result<MetalStorage> {
    let device = x.0.device();
    let sums = empty(device, DType::F32, count)?;
    // A threadgroup of whole SIMD-groups, no larger than the number of terms.
    let threads = length.next_multiple_of(SIMD).clamp(SIMD, THREADS);
    Call::new(device, &SHARED, "sum_rows", x.0.dtype())?
        .input(x)?
        .output(&sums)
        .constant(&[Word::Size(count), Word::Size(length)])?
        .shared(SUM_FLOATS)
        .launch([count, 1, 1], threads)?;
    Ok(sums)
}

/// `Σ_k x[k, i]` in type `dtype`, for `x: [count, length]` in f32.
pub(crate) fn sum_leading(
    x: &MetalStorage,
    count: usize,
    length: usize,
    dtype: DType,
) -> Result<MetalStorage> {
    let sums = empty(x.device(), dtype, length)?;
    Call::new(x.device(), &SHARED, "sum_leading", dtype)?
        .scratch(x)
        .output(&sums)
        .constant(&[Word::Size(count), Word::Size(length)])?
        .launch_for(length)?;
    Ok(sums)
}
