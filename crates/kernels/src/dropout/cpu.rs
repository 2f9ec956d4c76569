//! Dropout on the CPU, one sample per task.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::kernel;
use crate::buffer::Output;
use crate::isa::Isa;
use crate::noise::NoiseStream;
use crate::storage::{dense, tensor, with_dense};

/// Dropout of a batch whose first sample is at `position` of `stream`.
pub(crate) struct Dropout {
    isa: Isa,
    p: f64,
    stream: NoiseStream,
    position: u64,
    /// 1 for elements that are kept; set by the forward pass for the backward pass.
    keep: Mutex<Vec<u8>>,
}

impl Dropout {
    pub(crate) fn new(isa: Isa, p: f64, stream: NoiseStream, position: u64) -> Self {
        Self { isa, p, stream, position, keep: Mutex::default() }
    }

    /// The gradient with respect to the operand.
    pub(crate) fn gradient(&self, grad: &Tensor) -> Result<Tensor> {
        let keep = self.keep.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let grad_x = with_dense(grad, |grad| Ok(self.apply(grad, &keep)))?;
        tensor(grad_x, grad.shape())
    }

    /// The kept elements divided by `1 − p`, and zeros.
    fn apply(&self, x: &[f32], keep: &[u8]) -> Vec<f32> {
        const TASK: usize = 16_384;
        let factor = (1.0 / (1.0 - self.p)) as f32;
        let mut output = Output::new(x.len());
        let operands = x.par_chunks(TASK).zip(keep.par_chunks(TASK));
        let tasks = output.par_chunks(TASK).zip(operands);
        tasks.for_each(|(y, (x, keep))| kernel::apply(self.isa, x, keep, factor, y));
        // SAFETY: the tasks cover the output.
        unsafe { output.assume_written() }
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = dense(x, layout)?;
        let batch = layout.dims().first().copied().unwrap_or(1);
        let row = x.len().checked_div(batch).unwrap_or(0).max(1);
        let mut keep = vec![0u8; x.len()];
        keep.par_chunks_mut(row).enumerate().for_each(|(sample, keep)| {
            kernel::keep(self.isa, self.stream, self.position + sample as u64, self.p as f32, keep);
        });
        let y = self.apply(x, &keep);
        *self.keep.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = keep;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(grad).map(Some)
    }
}
