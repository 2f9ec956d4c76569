//! Element-wise operations on the CPU.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::kernel;
use crate::buffer::Output;
use crate::isa::Isa;
use crate::reduce;
use crate::storage::{Dense, dense, tensor, with_dense};

/// Elements per task: 64 KiB.
const TASK: usize = 16_384;

/// `(a + b) · scale`.
pub(crate) struct AddScaled {
    pub(crate) isa: Isa,
    pub(crate) scale: f64,
}

impl CustomOp2 for AddScaled {
    fn name(&self) -> &'static str {
        "add_scaled"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (a, b) = (dense(a, a_layout)?, dense(b, b_layout)?);
        let mut output = Output::new(a.len());
        let operands = a.par_chunks(TASK).zip(b.par_chunks(TASK));
        output
            .par_chunks(TASK)
            .zip(operands)
            .for_each(|(y, (a, b))| kernel::add_scaled(self.isa, a, b, y, self.scale as f32));
        // SAFETY: the tasks cover the output.
        Ok((CpuStorage::F32(unsafe { output.assume_written() }), a_layout.shape().clone()))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_sum = self.gradient(grad)?;
        let of = |operand: &Tensor| operand.track_op().then(|| grad_sum.clone());
        Ok((of(a), of(b)))
    }
}

/// `a · a_factor + b · b_factor`, for operands of the same shape.
pub(crate) fn weighted_sum(isa: Isa, [a, b]: [(&Tensor, f64); 2]) -> Result<Tensor> {
    let ((a, a_factor), (b, b_factor)) = (a, b);
    if a.dims() != b.dims() {
        bail!("weighted_sum: {:?} and {:?} differ", a.shape(), b.shape());
    }
    let factors = [a_factor as f32, b_factor as f32];
    let sum = with_dense(a, |a| {
        with_dense(b, |b| {
            let mut output = Output::new(a.len());
            let operands = a.par_chunks(TASK).zip(b.par_chunks(TASK));
            output
                .par_chunks(TASK)
                .zip(operands)
                .for_each(|(y, (a, b))| kernel::weighted_sum(isa, a, b, y, factors));
            // SAFETY: the tasks cover the output.
            Ok(unsafe { output.assume_written() })
        })
    })?;
    tensor(sum, a.shape())
}

/// `x` times one factor per sample, `[B]`, plus optionally another tensor of the same shape times
/// its factors.
pub(crate) fn mix_samples(
    isa: Isa,
    (x, x_factors): (&Tensor, &Tensor),
    more: Option<(&Tensor, &Tensor)>,
) -> Result<Tensor> {
    let batch = x.dim(0)?;
    let fits = |it: &Tensor, factors: &Tensor| it.dims() == x.dims() && factors.dims() == [batch];
    if !fits(x, x_factors) || more.is_some_and(|(it, factors)| !fits(it, factors)) {
        bail!("mix_samples: the operands do not match {:?}", x.shape());
    }
    let sample = (x.elem_count() / batch.max(1)).max(1);
    let numbers = Dense::of(x)?;
    let x_factors = Dense::of(x_factors)?;
    let more = more
        .map(|(it, factors)| Ok::<_, candle_core::Error>((Dense::of(it)?, Dense::of(factors)?)));
    let more = more.transpose()?;
    let more = more.as_ref().map(|(it, factors)| (&**it, &**factors));
    let (numbers_ref, x_factors) = (&*numbers, &*x_factors);
    let mut output = Output::new(numbers_ref.len());
    output.par_chunks(sample).zip(numbers_ref.par_chunks(sample)).enumerate().for_each(
        |(i, (y, x))| match more {
            None => kernel::scaled(isa, x, y, x_factors[i]),
            Some((more, factors)) => {
                let more = &more[i * sample..][..sample];
                kernel::weighted_sum(isa, x, more, y, [x_factors[i], factors[i]]);
            }
        },
    );
    // SAFETY: the samples cover the output.
    tensor(unsafe { output.assume_written() }, x.shape())
}

impl AddScaled {
    /// The gradient with respect to either operand.
    pub(crate) fn gradient(&self, grad: &Tensor) -> Result<Tensor> {
        with_dense(grad, |numbers| {
            let mut output = Output::new(numbers.len());
            let tasks = output.par_chunks(TASK).zip(numbers.par_chunks(TASK));
            tasks.for_each(|(y, grad)| kernel::scaled(self.isa, grad, y, self.scale as f32));
            // SAFETY: the tasks cover the output.
            tensor(unsafe { output.assume_written() }, grad.shape())
        })
    }
}

/// `x + c`, with one `c` per channel and sample.
pub(crate) struct AddChannels {
    pub(crate) isa: Isa,
}

impl CustomOp2 for AddChannels {
    fn name(&self) -> &'static str {
        "add_channels"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        c: &CpuStorage,
        c_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, c) = (dense(x, x_layout)?, dense(c, c_layout)?);
        let (_, _, height, width) = x_layout.shape().dims4()?;
        let pixels = height * width;
        let mut output = Output::new(x.len());
        let channels = output.par_chunks(pixels).zip(x.par_chunks(pixels)).zip(c.par_iter());
        channels
            .with_min_len(TASK.div_ceil(pixels))
            .for_each(|((y, x), c)| kernel::shifted(self.isa, x, y, *c));
        // SAFETY: the channels cover the output.
        Ok((CpuStorage::F32(unsafe { output.assume_written() }), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        c: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_c = c.track_op().then(|| self.grad_channels(grad));
        Ok((x.track_op().then(|| grad.clone()), grad_c.transpose()?))
    }
}

impl AddChannels {
    /// The gradient `[B, C]` with respect to `c`.
    pub(crate) fn grad_channels(&self, grad: &Tensor) -> Result<Tensor> {
        let (batch, channels, height, width) = grad.dims4()?;
        with_dense(grad, |grad| {
            let sums = reduce::over_pixels(self.isa, grad, height * width);
            tensor(sums, &Shape::from((batch, channels)))
        })
    }
}

/// `x / (1 + e⁻ˣ)`.
pub(crate) struct Silu {
    pub(crate) isa: Isa,
}

impl CustomOp1 for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = dense(x, layout)?;
        let mut output = Output::new(x.len());
        let tasks = output.par_chunks(TASK).zip(x.par_chunks(TASK));
        tasks.for_each(|(y, x)| kernel::silu(self.isa, x, y));
        // SAFETY: the tasks cover the output.
        Ok((CpuStorage::F32(unsafe { output.assume_written() }), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(x, grad).map(Some)
    }
}

impl Silu {
    /// The gradient with respect to `x`.
    pub(crate) fn gradient(&self, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        with_dense(x, |numbers| {
            with_dense(grad, |grad| {
                let mut output = Output::new(grad.len());
                let operands = numbers.par_chunks(TASK).zip(grad.par_chunks(TASK));
                output
                    .par_chunks(TASK)
                    .zip(operands)
                    .for_each(|(y, (x, grad))| kernel::through_silu(self.isa, x, grad, y));
                // SAFETY: the tasks cover the output.
                tensor(unsafe { output.assume_written() }, x.shape())
            })
        })
    }
}

/// Applies `f` to every element of a contiguous operand in f32 or f64, in f64.
fn map(x: &CpuStorage, layout: &Layout, f: fn(f64) -> f64) -> Result<(CpuStorage, Shape)> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a kernel received a tensor that is not contiguous")
    };
    let y = match x {
        CpuStorage::F32(x) => {
            CpuStorage::F32(x[start..end].iter().map(|x| f(f64::from(*x)) as f32).collect())
        }
        CpuStorage::F64(x) => CpuStorage::F64(x[start..end].iter().map(|x| f(*x)).collect()),
        _ => bail!("a kernel received a tensor that is neither f32 nor f64"),
    };
    Ok((y, layout.shape().clone()))
}

/// `1 / (1 + e⁻ˣ)` in f64. Losses use it, so there are few elements.
pub(super) struct Sigmoid;

impl CustomOp1 for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        map(x, layout, |x| 1.0 / (1.0 + (-x).exp()))
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let y = y.detach();
        Ok(Some((grad * (&y - y.sqr()?)?)?))
    }
}

/// `ln(1 + eˣ)`, in f64 like [`Sigmoid`], its derivative.
pub(super) struct Softplus;

impl CustomOp1 for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        map(x, layout, |x| {
            let rest = (-x.abs()).exp().ln_1p();
            if 0.0 < x { x + rest } else { rest }
        })
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some((grad * super::sigmoid(&x.detach())?)?))
    }
}
