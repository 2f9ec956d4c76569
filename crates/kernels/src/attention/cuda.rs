//! Attention on an NVIDIA GPU: products of strided matrices, which read query, key and value from
//! the packed tensor, and a softmax of rows in f32, which is kept for the backward pass.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaDevice, CudaStorage, CustomOp1, DType, Layout, Result, Shape};
use candle_core::{Tensor, bail};

use crate::gpu::cuda::{Call, Module, Operand, Reading, THREADS, empty, module, tensor};

static KERNELS: Module = module!("attention");

/// Rows and columns of a block's tile.
const SIDE: usize = 64;

pub(super) fn attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    let keep = qkv.track_op();
    qkv.contiguous()?.apply_op1(Attention { heads, keep, weights: Mutex::default() })
}

struct Attention {
    heads: usize,
    /// True if a backward pass may follow.
    keep: bool,
    /// The softmax of each head, `[B · heads, T, T]` in f32.
    weights: Mutex<Option<CudaStorage>>,
}

/// Sizes of all heads: `count` heads with `channels` and `T` pixels each.
#[derive(Clone, Copy)]
struct Heads {
    count: usize,
    channels: usize,
    pixels: usize,
}

/// Distances between heads, rows and columns of matrices.
type Strides = [usize; 3];

impl Heads {
    /// Strides of queries, keys or values, `[channels, T]`.
    fn packed(self) -> Strides {
        [3 * self.channels * self.pixels, 3 * self.pixels, 1]
    }

    /// Strides of outputs, `[channels, T]`.
    fn output(self) -> Strides {
        [self.channels * self.pixels, self.pixels, 1]
    }

    /// Strides of weights, `[T, T]`.
    fn square(self) -> Strides {
        [self.pixels * self.pixels, self.pixels, 1]
    }

    fn scale(self) -> f64 {
        1.0 / (self.channels as f64).sqrt()
    }
}

fn transposed([head, row, column]: Strides) -> Strides {
    [head, column, row]
}

/// A matrix per head: storage, offset, strides.
type Matrices<'a> = (&'a CudaStorage, usize, Strides);

/// `c = scale · a b` for `a: [rows, length]`, `b: [length, columns]` and every head. The
/// result is f32 if `b` has the operands' type, and has the operands' type if `b` is f32.
fn product(
    heads: usize,
    (name, dtype): (&str, DType),
    [rows, columns, length]: [usize; 3],
    a: Matrices<'_>,
    b: Matrices<'_>,
    (c, c_start, c_strides): (&mut CudaStorage, usize, Strides),
    scale: f64,
) -> Result<()> {
    let device = a.0.device().clone();
    let mut call = Call::typed(&device, &KERNELS, name, dtype)?;
    for (storage, start, [head, row, column]) in [a, b] {
        call = call.scratch(storage, start)?.count(head as u64).sizes(&[row, column])?;
    }
    let [head, row, _] = c_strides;
    let call = call
        .output(c, c_start)?
        .count(head as u64)
        .sizes(&[row, rows, columns, length])?
        .float(scale);
    let grid = [columns.div_ceil(SIDE), rows.div_ceil(SIDE), heads];
    // SAFETY: the parameters match `attention.cu`; with the strides of `Heads`, all matrices are
    // within their storage.
    unsafe { call.launch(grid, THREADS) }
}

/// Offset of a contiguous operand.
fn start(layout: &Layout) -> Result<usize> {
    match layout.contiguous_offsets() {
        Some((start, _)) => Ok(start),
        None => bail!("a kernel received a tensor that is not contiguous"),
    }
}

/// A kernel over the rows of `[B · heads, T, T]`.
fn over_rows<'a>(
    device: &'a CudaDevice,
    name: &str,
    heads: Heads,
) -> (Call<'a>, [usize; 3], usize) {
    let threads = heads.pixels.next_multiple_of(32).min(THREADS);
    let call = Call::plain(device, &KERNELS, name);
    (call, [heads.count * heads.pixels, 1, 1], threads)
}

impl Attention {
    fn heads(&self, qkv: &Shape) -> Result<Heads> {
        let (batch, packed, height, width) = qkv.dims4()?;
        let channels = packed / 3 / self.heads;
        Ok(Heads { count: batch * self.heads, channels, pixels: height * width })
    }

    fn saved(&self) -> MutexGuard<'_, Option<CudaStorage>> {
        self.weights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forward(&self, (qkv, layout): Operand<'_>) -> Result<CudaStorage> {
        let (device, dtype) = (qkv.device(), qkv.dtype());
        let heads = self.heads(layout.shape())?;
        let Heads { count, channels, pixels } = heads;
        let first = start(layout)?;
        let [q, k, v] = [0, 1, 2].map(|part| (qkv, first + part * pixels, heads.packed()));
        let mut weights = empty(device, DType::F32, count * pixels * pixels)?;
        product(
            count,
            ("attention_logits", dtype),
            [pixels, pixels, channels],
            (q.0, q.1, transposed(q.2)),
            k,
            (&mut weights, 0, heads.square()),
            heads.scale(),
        )?;
        let (call, grid, threads) = over_rows(device, "attention_softmax", heads);
        let call = call.output(&mut weights, 0)?.size(pixels)?;
        // SAFETY: the parameters match `attention.cu`; one block per row of the weights.
        unsafe { call.launch(grid, threads)? };
        let mut y = empty(device, dtype, count * channels * pixels)?;
        product(
            count,
            ("attention_mix", dtype),
            [channels, pixels, pixels],
            v,
            (&weights, 0, transposed(heads.square())),
            (&mut y, 0, heads.output()),
            1.0,
        )?;
        if self.keep {
            *self.saved() = Some(weights);
        }
        Ok(y)
    }

    /// The gradient with respect to `qkv`; the formulas are in [`super::cpu`].
    fn backward(&self, (qkv, layout): Operand<'_>, grad: Operand<'_>) -> Result<CudaStorage> {
        let (device, dtype) = (qkv.device(), qkv.dtype());
        let heads = self.heads(layout.shape())?;
        let Heads { count, channels, pixels } = heads;
        let saved = self.saved();
        let Some(weights) = saved.as_ref() else {
            bail!("attention: the operand was not tracked in the forward pass")
        };
        let first = start(layout)?;
        let [q, k, v] = [0, 1, 2].map(|part| (qkv, first + part * pixels, heads.packed()));
        let g: Matrices<'_> = (grad.0, start(grad.1)?, heads.output());
        let mut grad_qkv = empty(device, dtype, 3 * count * channels * pixels)?;
        let mut s = empty(device, DType::F32, count * pixels * pixels)?;
        product(
            count,
            ("attention_logits", dtype),
            [pixels, pixels, channels],
            (g.0, g.1, transposed(g.2)),
            v,
            (&mut s, 0, heads.square()),
            1.0,
        )?;
        let (call, grid, threads) = over_rows(device, "attention_through_softmax", heads);
        let call = call.scratch(weights, 0)?.output(&mut s, 0)?.size(pixels)?;
        // SAFETY: the parameters match `attention.cu`; one block per row of the weights.
        unsafe { call.launch(grid, threads)? };
        let square = heads.square();
        for (part, left, right, scale) in [
            (0, k, (&s, 0, transposed(square)), heads.scale()),
            (1, q, (&s, 0, square), heads.scale()),
            (2, g, (weights, 0, square), 1.0),
        ] {
            let target = (&mut grad_qkv, part * pixels, heads.packed());
            let sizes = [channels, pixels, pixels];
            product(count, ("attention_mix", dtype), sizes, left, right, target, scale)?;
        }
        Ok(grad_qkv)
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("attention: the GPU implementation received a tensor on the CPU")
    }

    fn cuda_fwd(&self, qkv: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (batch, packed, height, width) = layout.shape().dims4()?;
        let y = self.forward((qkv, layout))?;
        Ok((y, Shape::from((batch, packed / 3, height, width))))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (operand, grad) = (Reading::of(qkv), Reading::of(&grad));
        let grad_qkv = self.backward(operand.operand()?, grad.operand()?)?;
        Ok(Some(tensor(grad_qkv, qkv.shape())))
    }
}
