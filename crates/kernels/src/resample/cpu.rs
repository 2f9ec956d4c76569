//! Resampling on the CPU, one channel of one image per task.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Filter;
use super::kernel::{Plan, reduce, spread};
use crate::buffer::Output;
use crate::isa::Isa;
use crate::storage::{dense, tensor, with_dense};

/// Direction of the forward pass. The backward pass has the other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the large image to the small one.
    Down,
    /// From the small image to the large one, times four.
    Up,
}

/// A resampling between a large and a small image.
#[derive(Clone, Copy)]
pub(crate) struct Resample {
    pub(super) isa: Isa,
    pub(super) direction: Direction,
    pub(super) plan: Plan,
}

impl Resample {
    /// Resamples images in this direction.
    fn resample(&self, x: &[f32], direction: Direction) -> Vec<f32> {
        let plan = &self.plan;
        let [large, small] = [plan.large, plan.small].map(|[rows, columns]| rows * columns);
        let (source, target) = match direction {
            Direction::Down => (large, small),
            Direction::Up => (small, large),
        };
        // Upsampling doubles along both axes, so its gradient has the same factor.
        let gain = match self.direction {
            Direction::Down => 1.0,
            Direction::Up => 2.0,
        };
        let mut output = Output::new(x.len() / source * target);
        let planes = output.par_chunks(target).zip(x.par_chunks(source));
        planes.with_min_len(4096usize.div_ceil(large)).for_each(|(y, x)| {
            match (plan.filter, direction) {
                (Filter::Box, Direction::Down) => reduce(self.isa, plan, [0.5 * gain; 2], x, y),
                (Filter::Box, Direction::Up) => spread(self.isa, plan, [0.5 * gain; 2], x, y),
                (Filter::Tent, direction) => {
                    let taps = [0.125, 0.375, 0.375, 0.125].map(|tap| tap * gain);
                    match direction {
                        Direction::Down => reduce(self.isa, plan, taps, x, y),
                        Direction::Up => spread(self.isa, plan, taps, x, y),
                    }
                }
            }
        });
        // SAFETY: each task has written all of its plane.
        unsafe { output.assume_written() }
    }
}

impl CustomOp1 for Resample {
    fn name(&self) -> &'static str {
        "resample"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, _, _) = layout.shape().dims4()?;
        let [height, width] = match self.direction {
            Direction::Down => self.plan.small,
            Direction::Up => self.plan.large,
        };
        let y = self.resample(dense(x, layout)?, self.direction);
        Ok((CpuStorage::F32(y), Shape::from((batch, channels, height, width))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(x.shape(), grad).map(Some)
    }
}

impl Resample {
    /// The gradient with respect to the images, which have shape `x`.
    pub(crate) fn gradient(&self, x: &Shape, grad: &Tensor) -> Result<Tensor> {
        let back = match self.direction {
            Direction::Down => Direction::Up,
            Direction::Up => Direction::Down,
        };
        let grad_x = with_dense(grad, |grad| Ok(self.resample(grad, back)))?;
        tensor(grad_x, x)
    }
}
