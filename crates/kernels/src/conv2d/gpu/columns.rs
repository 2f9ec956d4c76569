//! Convolution on an NVIDIA GPU as one cuBLAS product of the weight and the unrolled images, whose
//! columns are the pixels that a kernel reads. In half precision, which runs on tensor cores, it is
//! three times as fast as the tiled kernel; in f32 it is slightly faster.

use candle_core::backend::BackendStorage;
use candle_core::{CudaStorage, Layout, Result, Shape};

use super::launch::{Direction, KERNELS, Sizes};
use crate::gpu::cuda::{Call, Operand, empty};

/// Fewest terms of a sum, and fewest outputs, for the product. We have not tuned them: only the
/// first and last layers of our networks have fewer, and tensor cores multiply 16 by 16.
const TERMS: usize = 64;
const OUTPUTS: usize = 16;
/// Most elements of the columns: 4 GiB in f32.
const COLUMNS: usize = 1 << 30;

/// Returns true if the product is faster for this convolution.
pub(super) fn pays(sizes: &Sizes) -> bool {
    let terms = sizes.inputs * sizes.taps();
    TERMS <= terms && OUTPUTS <= sizes.outputs && (1..=COLUMNS).contains(&(terms * sizes.pixels()))
}

/// Elements from a row of the columns to the next, and from an image to the next.
struct Strides {
    row: usize,
    image: usize,
}

/// Unrolls `x`, of `channels` channels, for a kernel of `kernel` by `kernel`.
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
    // SAFETY: parameters as in `columns.cuh`; with either order of rows and images, all elements of
    // all columns are written once.
    unsafe { call.launch_for(channels * sizes.pixels())? };
    Ok(columns)
}

/// Convolves; the product [`pays`] for these sizes.
pub(super) fn convolve(
    x: Operand<'_>,
    weight: Operand<'_>,
    bias: Option<Operand<'_>>,
    sizes: &Sizes,
    direction: Direction,
) -> Result<CudaStorage> {
    let (device, dtype) = (x.0.device(), x.0.dtype());
    let &Sizes { batch, inputs, outputs, height, width, kernel } = sizes;
    let (terms, pixels) = (inputs * sizes.taps(), height * width);
    let rotated = match direction {
        Direction::Forward => None,
        Direction::Backward => Some(rotate(weight, sizes)?),
    };
    let (rows, start) = match &rotated {
        Some(rotated) => (rotated, 0),
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
        // SAFETY: parameters as in `columns.cuh`; no two threads write the same elements of `y`.
        unsafe { call.launch_for(batch * outputs * pixels)? };
    }
    Ok(y)
}

/// Returns the weight of the convolution that computes the gradient with respect to the input. Its
/// sizes are `sizes`.
fn rotate(weight: Operand<'_>, sizes: &Sizes) -> Result<CudaStorage> {
    let (device, dtype) = (weight.0.device(), weight.0.dtype());
    let (taps, len) = (sizes.taps(), sizes.inputs * sizes.outputs * sizes.taps());
    let mut rotated = empty(device, dtype, len)?;
    let call = Call::typed(device, &KERNELS, "conv2d_rotate", dtype)?
        .input(weight)?
        .output(&mut rotated, 0)?
        .sizes(&[sizes.inputs, sizes.outputs, taps])?;
    // SAFETY: parameters as in `columns.cuh`; it reads and writes `len` elements.
    unsafe { call.launch_for(len)? };
    Ok(rotated)
}

/// Computes the gradient `[O, I, k, k]` with respect to the weight: a product that sums over all
/// pixels of the batch.
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
