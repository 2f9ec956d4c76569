//! Launches of kernels on an NVIDIA GPU: modules, arguments, outputs.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{
    CudaView, CudaViewMut, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Device, Layout, Result, Shape, Storage, Tensor};
use candle_core::{Error, StorageRef, bail};
use half::{bf16, f16};

use crate::runtime::{Kernels, kernels};

/// Threads per block, for kernels that accept any number.
pub(crate) const THREADS: usize = 256;

/// Elements per block of an element-wise kernel. The 4 is also in `prelude.cuh`.
const ELEMENTS: usize = 4 * THREADS;

/// True if the kernels support these operands: on one GPU, in one of the three types.
pub(crate) fn holds(operands: &[&Tensor]) -> bool {
    let dtype = operands.first().map(|it| it.dtype());
    let fits = |it: &&Tensor| it.device().is_cuda() && Some(it.dtype()) == dtype;
    let typed = matches!(dtype, Some(DType::F32 | DType::F16 | DType::BF16));
    kernels() != Kernels::Off && typed && operands.iter().all(fits)
}

/// True if the kernels write to tensors of this device.
pub(crate) fn drives(device: &Device) -> bool {
    kernels() != Kernels::Off && device.is_cuda()
}

/// The kernels of one `.cu` file, compiled to PTX by the build script.
pub(crate) struct Module {
    /// Name of the loaded module in candle.
    pub(crate) name: &'static str,
    pub(crate) ptx: &'static str,
}

/// The [`Module`] of the file with this name.
macro_rules! module {
    ($name:literal) => {
        $crate::gpu::cuda::Module {
            name: concat!("uni-instruct-", $name),
            ptx: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")),
        }
    };
}
pub(crate) use module;

/// Operand in the form of candle's custom operations.
pub(crate) type Operand<'a> = (&'a CudaStorage, &'a Layout);

/// A tensor locked for reading, outside a custom operation.
pub(crate) struct Reading<'a>(StorageRef<'a>, &'a Layout);

impl<'a> Reading<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self(storage, layout)
    }

    pub(crate) fn operand(&self) -> Result<Operand<'_>> {
        match &*self.0 {
            Storage::Cuda(storage) => Ok((storage, self.1)),
            _ => bail!("a CUDA kernel received a tensor on another device"),
        }
    }
}

/// Memory for `len` elements of this type. Their values are undefined until a kernel writes them.
pub(crate) fn empty(device: &CudaDevice, dtype: DType, len: usize) -> Result<CudaStorage> {
    // The driver rejects allocations of length 0.
    let len = len.max(1);
    // SAFETY: all bit patterns are valid elements, and a kernel writes all of them before they are
    // read, as the comment of each launch states.
    let slice = unsafe {
        match dtype {
            DType::F32 => CudaStorageSlice::F32(device.alloc(len)?),
            DType::F16 => CudaStorageSlice::F16(device.alloc(len)?),
            DType::BF16 => CudaStorageSlice::BF16(device.alloc(len)?),
            _ => bail!("no kernel writes {dtype:?}"),
        }
    };
    Ok(CudaStorage { slice, device: device.clone() })
}

/// A tensor of these elements, outside candle's graph.
pub(crate) fn tensor(storage: CudaStorage, shape: &Shape) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape.clone(), BackpropOp::none(), false)
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

enum Argument<'a> {
    F32(CudaView<'a, f32>),
    F16(CudaView<'a, f16>),
    Bf16(CudaView<'a, bf16>),
    OutF32(CudaViewMut<'a, f32>),
    OutF16(CudaViewMut<'a, f16>),
    OutBf16(CudaViewMut<'a, bf16>),
    /// A null pointer.
    Null(u64),
    Size(u32),
    Count(u64),
    Float(f32),
}

/// A kernel and its arguments so far, in the order of its parameters.
pub(crate) struct Call<'a> {
    device: &'a CudaDevice,
    module: &'static Module,
    kernel: String,
    arguments: Vec<Argument<'a>>,
}

impl<'a> Call<'a> {
    /// Loads the kernel with this name, without the suffix of a type.
    pub(crate) fn plain(device: &'a CudaDevice, module: &'static Module, name: &str) -> Self {
        Self { device, module, kernel: name.to_owned(), arguments: Vec::new() }
    }

    /// Loads the kernel with this name for type `dtype`.
    pub(crate) fn typed(
        device: &'a CudaDevice,
        module: &'static Module,
        name: &str,
        dtype: DType,
    ) -> Result<Self> {
        Ok(Self::plain(device, module, &format!("{name}_{}", suffix(dtype)?)))
    }

    /// Adds an array that the kernel reads: the elements of the layout, which must be contiguous.
    pub(crate) fn input(mut self, (storage, layout): Operand<'a>) -> Result<Self> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("a kernel received a tensor that is not contiguous")
        };
        self.arguments.push(match &storage.slice {
            CudaStorageSlice::F32(it) => Argument::F32(it.slice(start..end)),
            CudaStorageSlice::F16(it) => Argument::F16(it.slice(start..end)),
            CudaStorageSlice::BF16(it) => Argument::Bf16(it.slice(start..end)),
            _ => bail!("there are no kernels for {:?}", storage.dtype()),
        });
        Ok(self)
    }

    /// Adds an array that the kernel reads, or a null pointer.
    pub(crate) fn optional(self, operand: Option<Operand<'a>>) -> Result<Self> {
        match operand {
            Some(operand) => self.input(operand),
            None => Ok(self.push(Argument::Null(0))),
        }
    }

    /// Adds an array that the kernel reads: the storage starting at `start`.
    pub(crate) fn scratch(mut self, storage: &'a CudaStorage, start: usize) -> Result<Self> {
        self.arguments.push(match &storage.slice {
            CudaStorageSlice::F32(it) => Argument::F32(it.slice(start..)),
            CudaStorageSlice::F16(it) => Argument::F16(it.slice(start..)),
            CudaStorageSlice::BF16(it) => Argument::Bf16(it.slice(start..)),
            _ => bail!("there are no kernels for {:?}", storage.dtype()),
        });
        Ok(self)
    }

    /// Adds an array that the kernel writes: the storage starting at `start`.
    pub(crate) fn output(mut self, storage: &'a mut CudaStorage, start: usize) -> Result<Self> {
        let dtype = storage.dtype();
        self.arguments.push(match &mut storage.slice {
            CudaStorageSlice::F32(it) => Argument::OutF32(it.slice_mut(start..)),
            CudaStorageSlice::F16(it) => Argument::OutF16(it.slice_mut(start..)),
            CudaStorageSlice::BF16(it) => Argument::OutBf16(it.slice_mut(start..)),
            _ => bail!("there are no kernels for {dtype:?}"),
        });
        Ok(self)
    }

    /// Adds an `unsigned` parameter.
    pub(crate) fn size(self, size: usize) -> Result<Self> {
        match u32::try_from(size) {
            Ok(size) => Ok(self.push(Argument::Size(size))),
            Err(_) => bail!("{}: size {size} exceeds the 32 bits of a kernel's index", self.kernel),
        }
    }

    /// Adds several `unsigned` parameters.
    pub(crate) fn sizes(self, sizes: &[usize]) -> Result<Self> {
        sizes.iter().try_fold(self, |call, size| call.size(*size))
    }

    /// Adds an `unsigned long long` parameter.
    pub(crate) fn count(self, count: u64) -> Self {
        self.push(Argument::Count(count))
    }

    /// Adds a `float` parameter.
    pub(crate) fn float(self, number: f64) -> Self {
        self.push(Argument::Float(number as f32))
    }

    fn push(mut self, argument: Argument<'a>) -> Self {
        self.arguments.push(argument);
        self
    }

    /// Launches an element-wise kernel with `len` elements.
    ///
    /// # Safety
    ///
    /// As [`Self::launch`].
    pub(crate) unsafe fn launch_for(self, len: usize) -> Result<()> {
        // SAFETY: the caller guarantees the conditions.
        unsafe { self.launch([len.div_ceil(ELEMENTS), 1, 1], THREADS) }
    }

    /// Launches the kernel. A grid without blocks is not launched.
    ///
    /// # Safety
    ///
    /// The arguments match the kernel's parameters in number, order and type, and every element
    /// that it reads or writes for these sizes is within its arrays.
    pub(crate) unsafe fn launch(mut self, grid: [usize; 3], threads: usize) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        const MOST: [usize; 3] = [i32::MAX as usize, 65_535, 65_535];
        if grid.iter().zip(MOST).any(|(blocks, most)| most < *blocks) {
            bail!("{}: a grid of {grid:?} blocks is too large for a GPU", self.kernel);
        }
        let Module { name, ptx } = self.module;
        let function = self.device.get_or_load_custom_func(&self.kernel, name, ptx)?;
        let mut builder = function.builder();
        for argument in &mut self.arguments {
            match argument {
                Argument::F32(it) => builder.arg(&*it),
                Argument::F16(it) => builder.arg(&*it),
                Argument::Bf16(it) => builder.arg(&*it),
                Argument::OutF32(it) => builder.arg(it),
                Argument::OutF16(it) => builder.arg(it),
                Argument::OutBf16(it) => builder.arg(it),
                Argument::Null(it) | Argument::Count(it) => builder.arg(&*it),
                Argument::Size(it) => builder.arg(&*it),
                Argument::Float(it) => builder.arg(&*it),
            };
        }
        let [x, y, z] = grid.map(|blocks| blocks as u32);
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (threads as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the caller guarantees the conditions.
        match unsafe { builder.launch(config) }.w() {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::Msg(format!("{}: {error}", self.kernel))),
        }
    }
}
