//! Attention on an Apple GPU. No matrix of weights is stored: the backward pass recomputes the
//! weights from the logarithms of their sums.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{DType, MetalStorage, Result, Shape, Tensor, bail};

use crate::gpu::metal::{
    Arm, Call, Library, Operand, Reading, THREADS, Word, apply1, empty, library, tensor,
};

static KERNELS: Library = library!("attention", "attention/attention.metal");

/// Queries (or keys) and channels that a threadgroup writes, as in `attention.metal`.
const TILE: usize = 32;
const CHANNELS: usize = 128;

/// Shared floats of the forward pass: three tiles with rows of 33, and one factor per query.
const FORWARD_FLOATS: usize = 3 * TILE * (TILE + 1) + TILE;

/// Shared floats of the backward pass: four tiles.
const BACKWARD_FLOATS: usize = 4 * TILE * (TILE + 1);

pub(super) fn attention(qkv: &Tensor, heads: usize) -> Result<Tensor> {
    apply1(qkv, Attention { heads, log_sums: Mutex::default() })
}

struct Attention {
    heads: usize,
    /// Logarithm of every query's sum, `[B · heads, T]`, from the forward pass.
    log_sums: Mutex<Option<MetalStorage>>,
}

/// Sizes of all heads: `count` heads with `channels` and `T` pixels each.
#[derive(Clone, Copy)]
struct Heads {
    count: usize,
    channels: usize,
    pixels: usize,
}

impl Heads {
    fn new(heads: usize, qkv: &Shape) -> Result<Self> {
        let (batch, packed, height, width) = qkv.dims4()?;
        let channels = packed / 3 / heads;
        Ok(Self { count: batch * heads, channels, pixels: height * width })
    }

    fn constant(self) -> [Word; 3] {
        let scale = 1.0 / (self.channels as f64).sqrt();
        [Word::Size(self.channels), Word::Size(self.pixels), Word::Float(scale)]
    }

    fn queries(self) -> usize {
        self.count * self.pixels
    }

    fn grid(self) -> [usize; 3] {
        [self.pixels.div_ceil(TILE), self.count, self.channels.div_ceil(CHANNELS)]
    }

    /// `Σ_c grad y` of every query.
    fn means(self, y: Operand<'_>, grad: Operand<'_>) -> Result<MetalStorage> {
        let device = y.0.device();
        let means = empty(device, DType::F32, self.queries())?;
        Call::new(device, &KERNELS, "attention_means", y.0.dtype())?
            .input(y)?
            .input(grad)?
            .output(&means)
            .constant(&self.constant())?
            .constant(&[Word::Size(self.queries())])?
            .launch_for(self.queries())?;
        Ok(means)
    }

    fn backward(
        self,
        [qkv, y, grad]: [Operand<'_>; 3],
        log_sums: &MetalStorage,
    ) -> Result<MetalStorage> {
        let (device, dtype) = (qkv.0.device(), qkv.0.dtype());
        let means = self.means(y, grad)?;
        let grad_qkv = empty(device, dtype, qkv.1.shape().elem_count())?;
        for name in ["through_query", "through_key_value"] {
            Call::new(device, &KERNELS, name, dtype)?
                .input(qkv)?
                .input(grad)?
                .scratch(log_sums)
                .scratch(&means)
                .output(&grad_qkv)
                .constant(&self.constant())?
                .shared(BACKWARD_FLOATS)
                .launch(self.grid(), THREADS)?;
        }
        Ok(grad_qkv)
    }
}

impl Arm<1> for Attention {
    const NAME: &'static str = "attention";

    fn forward(&self, [qkv]: [Operand<'_>; 1]) -> Result<(MetalStorage, Shape)> {
        let (device, dtype) = (qkv.0.device(), qkv.0.dtype());
        let (batch, packed, height, width) = qkv.1.shape().dims4()?;
        let heads = Heads::new(self.heads, qkv.1.shape())?;
        let y = empty(device, dtype, heads.queries() * heads.channels)?;
        let log_sums = empty(device, DType::F32, heads.queries())?;
        Call::new(device, &KERNELS, "attention", dtype)?
            .input(qkv)?
            .output(&y)
            .output(&log_sums)
            .constant(&heads.constant())?
            .shared(FORWARD_FLOATS)
            .launch(heads.grid(), THREADS)?;
        *self.log_sums.lock().unwrap_or_else(PoisonError::into_inner) = Some(log_sums);
        Ok((y, Shape::from((batch, packed / 3, height, width))))
    }

    fn backward(
        &self,
        [qkv]: [&Tensor; 1],
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 1]> {
        let log_sums = self.log_sums.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log_sums) = &*log_sums else {
            bail!("attention: backward pass without a forward pass")
        };
        let readings = [qkv, y, grad].map(Reading::of);
        let [a, b, c] = &readings;
        let operands = [a.operand()?, b.operand()?, c.operand()?];
        let grad_qkv = Heads::new(self.heads, qkv.shape())?.backward(operands, log_sums)?;
        Ok([Some(tensor(grad_qkv, qkv.shape()))])
    }
}
