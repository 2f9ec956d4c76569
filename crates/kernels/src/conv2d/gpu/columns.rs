//! Convolution on an NVIDIA GPU as one matrix product by cuBLAS, of the weight and of the images
//! written out as columns: in half precision its tensor cores are worth that, three times over, and in
//! f32 it is a little faster, too.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, Layout, Result, Shape};

use super::launch::{KERNELS, Sizes, Way};
use crate::gpu::cuda::{Call, Operand, empty};

/// Terms of a sum, and outputs, below which the tiled kernel is taken. Not tuned: of the networks here
/// only first and last layers are below, and tensor cores multiply sixteen by sixteen.
const TERMS: usize = 64;
const OUTPUTS: usize = 16;
/// Numbers that columns may take: 4 GiB in f32.
const COLUMNS: usize = 1 << 30;

/// Whether the product is the faster way for this convolution.
pub(super) fn pays(sizes: &Sizes) -> bool {
    let terms = sizes.inputs * sizes.taps();
    TERMS <= terms && OUTPUTS <= sizes.outputs && (1..=COLUMNS).contains(&(terms * sizes.pixels()))
}

/// How columns lie: numbers from a row to the next, and from an image to the next.
struct Strides {
    row: usize,
    image: usize,
}

/// The columns of `x`, of `channels` channels under a kernel of `kernel` by `kernel`.
fn columns(
    x: Operand<'_>,
    channels: usize,
    kernel: usize,
    sizes: &Sizes,
    strides: Strides,
) -> Result<CudaStorage> {
    let (device, dtype) = (x.0.device(), x.0.dtype());
    let mut columns = empty(device, dtype, channels * kernel * kernel * sizes.pixels())?;
    let call = Call::typed(device, &KERNELS, "conv2d_columns", dtype)?
        .input(x)?
        .output(&mut columns, 0)?
        .sizes(&[channels, sizes.height, sizes.width, sizes.batch, kernel])?
        .count(strides.row as u64)
        .count(strides.image as u64);
    // SAFETY: parameters as in `columns.cuh`; with either order of rows and images, all numbers of all
    // columns are written once.
    unsafe { call.launch_for(channels * sizes.pixels())? };
    Ok(columns)
}

/// The convolution of these sizes, for which it [`pays`].
pub(super) fn convolve(
    x: Operand<'_>,
    weight: Operand<'_>,
    bias: Option<Operand<'_>>,
    sizes: &Sizes,
    way: Way,
) -> Result<CudaStorage> {
    let (device, dtype) = (x.0.device(), x.0.dtype());
    let &Sizes { batch, inputs, outputs, height, width, kernel } = sizes;
    let (terms, pixels) = (inputs * sizes.taps(), height * width);
    let turned = match way {
        Way::Forward => None,
        Way::Backward => Some(turn(weight, sizes)?),
    };
    let (rows, start) = match &turned {
        Some(turned) => (turned, 0),
        None => (weight.0, weight.1.start_offset()),
    };
    let rows_layout = Layout::new(Shape::from((batch, outputs, terms)), vec![0, terms, 1], start);
    let filled = match kernel {
        1 => None,
        _ => {
            let strides = Strides { row: pixels, image: terms * pixels };
            Some(columns(x, inputs, kernel, sizes, strides)?)
        }
    };
    let (images, start) = match &filled {
        Some(columns) => (columns, 0),
        None => (x.0, x.1.start_offset()),
    };
    let images_layout = Layout::contiguous_with_offset(Shape::from((batch, terms, pixels)), start);
    let size = (batch, outputs, pixels, terms);
    let mut y = rows.matmul(images, size, &rows_layout, &images_layout)?;
    if let Some(bias) = bias {
        let call = Call::typed(device, &KERNELS, "conv2d_add_bias", dtype)?
            .input(bias)?
            .output(&mut y, 0)?
            .sizes(&[outputs, pixels, batch])?;
        // SAFETY: parameters as in `columns.cuh`; each thread has numbers of `y` of its own.
        unsafe { call.launch_for(batch * outputs * pixels)? };
    }
    Ok(y)
}

/// The weight of the convolution whose output is the gradient by the input, which `sizes` are of.
fn turn(weight: Operand<'_>, sizes: &Sizes) -> Result<CudaStorage> {
    let (device, dtype) = (weight.0.device(), weight.0.dtype());
    let (taps, len) = (sizes.taps(), sizes.inputs * sizes.outputs * sizes.taps());
    let mut turned = empty(device, dtype, len)?;
    let call = Call::typed(device, &KERNELS, "conv2d_turn", dtype)?
        .input(weight)?
        .output(&mut turned, 0)?
        .sizes(&[sizes.inputs, sizes.outputs, taps])?;
    // SAFETY: parameters as in `columns.cuh`; as many numbers are read as are written.
    unsafe { call.launch_for(len)? };
    Ok(turned)
}

/// The gradient `[O, I, k, k]` by the weight: a product whose sums go over all pixels of the batch.
pub(super) fn grad_weight(x: Operand<'_>, grad: Operand<'_>, sizes: &Sizes) -> Result<CudaStorage> {
    let &Sizes { inputs, outputs, height, width, kernel, .. } = sizes;
    let (terms, pixels) = (inputs * sizes.taps(), sizes.pixels());
    let strides = || Strides { row: pixels, image: height * width };
    let columns_of_x = columns(x, inputs, kernel, sizes, strides())?;
    let rows_of_grad = columns(grad, outputs, 1, sizes, strides())?;
    let rows_layout = Layout::contiguous(Shape::from((1, outputs, pixels)));
    let columns_layout =
        Layout::new(Shape::from((1, pixels, terms)), vec![terms * pixels, 1, pixels], 0);
    let size = (1, outputs, terms, pixels);
    rows_of_grad.matmul(&columns_of_x, size, &rows_layout, &columns_layout)
}
