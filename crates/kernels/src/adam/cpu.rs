//! Adam and the moving average on the CPU, in place.

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result, bail};
use rayon::prelude::*;

use super::kernel;
use crate::isa::Isa;
use crate::storage::dense;

/// Elements per task: 64 KiB.
const TASK: usize = 16_384;

fn dense_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(numbers), Some((start, end))) => Ok(&mut numbers[start..end]),
        _ => bail!("a kernel received a tensor that is not contiguous or not f32"),
    }
}

/// `x ← keep · x + add · f(y)` with `f` the identity or the square.
pub(super) struct Average {
    pub(super) isa: Isa,
    pub(super) keep: f32,
    pub(super) add: f32,
    pub(super) squared: bool,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "moving_average"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let (x, y) = (dense_mut(x, x_layout)?, dense(y, y_layout)?);
        let tasks = x.par_chunks_mut(TASK).zip(y.par_chunks(TASK));
        tasks.for_each(|(x, y)| {
            if self.squared {
                kernel::average_squares(self.isa, x, y, self.keep, self.add)
            } else {
                kernel::average(self.isa, x, y, self.keep, self.add)
            }
        });
        Ok(())
    }
}

/// `θ ← keep · θ − rate · m / (√(v · scale) + ε)`.
pub(super) struct Update {
    pub(super) isa: Isa,
    pub(super) factors: kernel::Factors,
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        param: &mut CpuStorage,
        param_layout: &Layout,
        m: &CpuStorage,
        m_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<()> {
        let param = dense_mut(param, param_layout)?;
        let (m, v) = (dense(m, m_layout)?, dense(v, v_layout)?);
        param
            .par_chunks_mut(TASK)
            .zip(m.par_chunks(TASK).zip(v.par_chunks(TASK)))
            .for_each(|(param, (m, v))| kernel::update(self.isa, param, m, v, self.factors));
        Ok(())
    }
}
