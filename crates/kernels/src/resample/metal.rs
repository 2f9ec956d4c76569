//! Resampling on an Apple GPU.

use candle_core::backend::BackendStorage;
use candle_core::{MetalStorage, Result, Shape, Tensor};

use super::cpu::Direction;
use super::kernel::Plan;
use crate::gpu::metal::{
    Arm, Call, Library, Operand, Reading, Word, apply1, empty, library, tensor,
};

static KERNELS: Library = library!("resample", "resample/resample.metal");

pub(super) fn resample(x: &Tensor, direction: Direction, plan: Plan) -> Result<Tensor> {
    apply1(x, Resample { direction, plan })
}

struct Resample {
    direction: Direction,
    plan: Plan,
}

impl Resample {
    /// Resamples `planes` images in this direction.
    fn apply(&self, x: Operand<'_>, planes: usize, direction: Direction) -> Result<MetalStorage> {
        let Plan { filter, padding, large, small } = self.plan;
        let (device, dtype) = (x.0.device(), x.0.dtype());
        let (name, [rows, columns]) = match direction {
            Direction::Down => ("reduce", small),
            Direction::Up => ("spread", large),
        };
        // Upsampling doubles along both axes, so its gradient has the same factor.
        let gain = match self.direction {
            Direction::Down => 1.0,
            Direction::Up => 2.0,
        };
        let taps = filter.taps();
        let tap = |u: usize| Word::Float(taps.get(u).map_or(0.0, |tap| gain * tap));
        let count = planes * rows * columns;
        let y = empty(device, dtype, count)?;
        let mut sizes = vec![Word::Size(count)];
        sizes.extend(large.into_iter().chain(small).map(Word::Size));
        sizes.extend([Word::Size(padding), Word::Size(taps.len())]);
        sizes.extend((0..4).map(tap));
        Call::new(device, &KERNELS, name, dtype)?
            .input(x)?
            .output(&y)
            .constant(&sizes)?
            .launch_for(count)?;
        Ok(y)
    }
}

impl Arm<1> for Resample {
    const NAME: &'static str = "resample";

    fn forward(&self, [x]: [Operand<'_>; 1]) -> Result<(MetalStorage, Shape)> {
        let (batch, channels, _, _) = x.1.shape().dims4()?;
        let [height, width] = match self.direction {
            Direction::Down => self.plan.small,
            Direction::Up => self.plan.large,
        };
        let y = self.apply(x, batch * channels, self.direction)?;
        Ok((y, Shape::from((batch, channels, height, width))))
    }

    fn backward(
        &self,
        [x]: [&Tensor; 1],
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 1]> {
        let back = match self.direction {
            Direction::Down => Direction::Up,
            Direction::Up => Direction::Down,
        };
        let (batch, channels, _, _) = x.dims4()?;
        let grad_x = self.apply(Reading::of(grad).operand()?, batch * channels, back)?;
        Ok([Some(tensor(grad_x, x.shape()))])
    }
}
