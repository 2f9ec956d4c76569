//! Attention on the CPU. One head of one sample is a task, which reads its packed operands with
//! strides instead of unpacking them.

use std::mem::MaybeUninit;
use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::softmax::{softmax, through_softmax};
use crate::buffer::{Output, as_uninit, with_scratch};
use crate::isa::Isa;
use crate::product::{Matrix, product};
use crate::storage::{dense, tensor, with_dense};

/// Attention of `heads` heads.
pub(crate) struct Attention {
    isa: Isa,
    heads: usize,
    /// True if a backward pass may follow, which needs the weights.
    keep: bool,
    /// The softmax of each head, `[B · heads, T, T]`.
    weights: Mutex<Vec<f32>>,
}

/// Sizes of one head: `channels` and `T` pixels.
#[derive(Clone, Copy)]
struct Head {
    channels: usize,
    pixels: usize,
}

impl Head {
    /// Query, key or value (`part` 0, 1 or 2) of a packed head, `[channels, T]`.
    fn part(self, qkv: &[f32], part: usize) -> Matrix<'_> {
        Matrix::rows(&qkv[part * self.pixels..], 3 * self.pixels)
    }

    fn scale(self) -> f32 {
        1.0 / (self.channels as f32).sqrt()
    }

    /// Writes `softmax(qᵀ k · scale)` to `weights: [T, T]`, and `v · weightsᵀ` to `y`.
    fn forward(
        self,
        isa: Isa,
        qkv: &[f32],
        y: &mut [MaybeUninit<f32>],
        weights: &mut [MaybeUninit<f32>],
    ) {
        let Self { channels, pixels } = self;
        let [q, k, v] = [0, 1, 2].map(|part| self.part(qkv, part));
        product(weights, pixels, [pixels, pixels, channels], q.t(), k, self.scale());
        for row in weights.chunks_exact_mut(pixels) {
            softmax(isa, row);
        }
        // SAFETY: the product has written all of them.
        let weights = unsafe { &*(std::ptr::from_ref::<[_]>(weights) as *const [f32]) };
        product(y, pixels, [channels, pixels, pixels], v, Matrix::rows(weights, pixels).t(), 1.0);
    }

    /// Writes the gradients. With weights `p` and gradient `g` with respect to `y`: `∂v = g p` and
    /// `∂p = gᵀ v`. The softmax turns `∂p` into the gradient `s` with respect to the logits, and
    /// then `∂q = k sᵀ · scale` and `∂k = q s · scale`.
    fn backward(
        self,
        isa: Isa,
        [qkv, weights, grad]: [&[f32]; 3],
        grad_qkv: &mut [MaybeUninit<f32>],
    ) {
        let Self { channels, pixels } = self;
        let packed = 3 * pixels;
        let [q, k, v] = [0, 1, 2].map(|part| self.part(qkv, part));
        let grad = Matrix::rows(grad, pixels);
        let narrow = [channels, pixels, pixels];
        product(
            &mut grad_qkv[2 * pixels..],
            packed,
            narrow,
            grad,
            Matrix::rows(weights, pixels),
            1.0,
        );
        with_scratch(pixels * pixels, |scratch| {
            let logits = as_uninit(scratch);
            product(logits, pixels, [pixels, pixels, channels], grad.t(), v, 1.0);
            for (grad, weights) in
                scratch.chunks_exact_mut(pixels).zip(weights.chunks_exact(pixels))
            {
                through_softmax(isa, weights, grad);
            }
            let s = Matrix::rows(scratch, pixels);
            product(grad_qkv, packed, narrow, k, s.t(), self.scale());
            product(&mut grad_qkv[pixels..], packed, narrow, q, s, self.scale());
        });
    }
}

impl Attention {
    pub(crate) fn new(isa: Isa, heads: usize, keep: bool) -> Self {
        Self { isa, heads, keep, weights: Mutex::default() }
    }

    fn head(&self, packed: usize, pixels: usize) -> Head {
        Head { channels: packed / 3 / self.heads, pixels }
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, packed, height, width) = layout.shape().dims4()?;
        let head = self.head(packed, height * width);
        let Head { channels, pixels } = head;
        let qkv = dense(qkv, layout)?;
        let mut y = Output::new(qkv.len() / 3);
        let tasks = y.par_chunks(channels * pixels).zip(qkv.par_chunks(3 * channels * pixels));
        if self.keep {
            let mut weights = Output::new(batch * self.heads * pixels * pixels);
            tasks
                .zip(weights.par_chunks(pixels * pixels))
                .for_each(|((y, qkv), weights)| head.forward(self.isa, qkv, y, weights));
            // SAFETY: every head has written its weights.
            let weights = unsafe { weights.assume_written() };
            *self.weights.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = weights;
        } else {
            tasks.for_each(|(y, qkv)| {
                with_scratch(pixels * pixels, |weights| {
                    head.forward(self.isa, qkv, y, as_uninit(weights));
                });
            });
        }
        // SAFETY: every head has written its part of the output.
        let y = unsafe { y.assume_written() };
        Ok((CpuStorage::F32(y), Shape::from((batch, packed / 3, height, width))))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(qkv, grad).map(Some)
    }
}

impl Attention {
    /// The gradient with respect to `qkv`; requires `keep`.
    pub(crate) fn gradient(&self, qkv: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let (_, packed, height, width) = qkv.dims4()?;
        let head = self.head(packed, height * width);
        let Head { channels, pixels } = head;
        let weights = self.weights.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let grad_qkv = with_dense(qkv, |qkv| {
            with_dense(grad, |grad| {
                let mut grad_qkv = Output::new(qkv.len());
                grad_qkv
                    .par_chunks(3 * channels * pixels)
                    .zip(qkv.par_chunks(3 * channels * pixels))
                    .zip(grad.par_chunks(channels * pixels))
                    .zip(weights.par_chunks(pixels * pixels))
                    .for_each(|(((grad_qkv, qkv), grad), weights)| {
                        head.backward(self.isa, [qkv, weights, grad], grad_qkv);
                    });
                // SAFETY: every head has written the gradients of its query, key and value.
                Ok(unsafe { grad_qkv.assume_written() })
            })
        })?;
        tensor(grad_qkv, qkv.shape())
    }
}
