//! Convolution on the CPU: the choice of the algorithm by shape.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::geometry::Geometry;
use super::portable::{self, Product};
use super::runner::{self, Finish, Runner};
use super::source::Source;
use super::weight::Weight;
use crate::channels::Channels;
use crate::isa::Isa;
use crate::reduce;
use crate::storage::{dense, tensor, with_dense};

#[cfg(target_arch = "x86_64")]
use super::x86::{direct::Direct, weight_grad, winograd, winograd::Ragged, winograd::Winograd};

/// Fewest channels for Winograd: with fewer, the transforms cost more than they save.
const WINOGRAD_CHANNELS: usize = 16;
/// Fewest tiles of 2 by 2 for Winograd, for the same reason.
const SMALL_TILES: usize = 32;
/// Fewest tiles of 4 by 4 that save more than tiles of 2 by 2.
const LARGE_TILES: usize = 64;
/// Fewest channels at which a matrix product beats the direct kernel for `k = 1`.
const PRODUCT_CHANNELS: usize = 128;

/// Convolution as an operation of candle's graph.
pub(crate) struct Conv2d {
    pub(crate) isa: Isa,
}

/// Algorithm of a convolution.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Portable,
    Direct,
    /// Winograd with tiles of this many rows and columns, 2 or 4.
    Winograd(usize),
    /// Winograd with tiles of 4 by 4 that extend beyond the image.
    Ragged,
}

impl Algorithm {
    /// Algorithm for the output, or for the gradient with respect to the input (of
    /// [`Geometry::backward`]).
    fn of_convolution(isa: Isa, geometry: &Geometry) -> Self {
        let &Geometry { batch, inputs, outputs, kernel, .. } = geometry;
        if let Isa::Portable = isa {
            return Self::Portable;
        }
        let fewest = inputs.min(outputs);
        let pixels = batch * geometry.pixels();
        let winograd = |size| WINOGRAD_CHANNELS <= fewest && winograd_fits(geometry, size);
        match kernel {
            1 if PRODUCT_CHANNELS <= fewest => Self::Portable,
            1 => Self::Direct,
            3 if LARGE_TILES <= pixels / 16 && winograd(4) => Self::Winograd(4),
            3 if SMALL_TILES <= pixels / 4 && winograd(2) => Self::Winograd(2),
            3 if WINOGRAD_CHANNELS <= fewest && LARGE_TILES <= ragged_tiles(geometry) => {
                Self::Ragged
            }
            3 => Self::Direct,
            _ => Self::Portable,
        }
    }

    /// Algorithm for the gradient with respect to the weight.
    fn of_weight_gradient(isa: Isa, geometry: &Geometry) -> Self {
        let tiles = geometry.batch * geometry.pixels() / 4;
        match Self::of_convolution(isa, geometry) {
            // With many channels there is one transformed sum. With fewer, each part of the batch
            // has its own, which is read and written for every few tiles.
            Self::Winograd(size) if many_channels(geometry) => Self::Winograd(size),
            Self::Winograd(_) if tiles <= geometry.inputs.max(geometry.outputs) => Self::Direct,
            Self::Ragged => Self::Direct,
            algorithm => algorithm,
        }
    }
}

/// Number of tiles of 4 by 4 that cover the images.
fn ragged_tiles(geometry: &Geometry) -> usize {
    geometry.batch * geometry.height.div_ceil(4) * geometry.width.div_ceil(4)
}

#[cfg(target_arch = "x86_64")]
fn winograd_fits(geometry: &Geometry, size: usize) -> bool {
    winograd::fits(geometry, size)
}

#[cfg(target_arch = "x86_64")]
fn many_channels(geometry: &Geometry) -> bool {
    winograd::MANY_CHANNELS <= geometry.inputs.min(geometry.outputs)
}

#[cfg(not(target_arch = "x86_64"))]
fn many_channels(_: &Geometry) -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn winograd_fits(_: &Geometry, _: usize) -> bool {
    false
}

/// Kernel for this convolution, with its weights prepared.
fn runner<'a>(
    isa: Isa,
    weight: &Weight<'_>,
    bias: Option<&'a [f32]>,
    geometry: &'a Geometry,
) -> Box<dyn Runner + 'a> {
    match (Algorithm::of_convolution(isa, geometry), isa) {
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx512(it)) => Box::new(Direct::new(it, weight, bias, geometry)),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx2Fma(it)) => Box::new(Direct::new(it, weight, bias, geometry)),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd(size), Isa::Avx512(it)) => {
            Box::new(Winograd::new(it, size, weight, bias, geometry))
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd(size), Isa::Avx2Fma(it)) => {
            Box::new(Winograd::new(it, size, weight, bias, geometry))
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Ragged, Isa::Avx512(it)) => Box::new(Ragged::new(it, weight, bias, geometry)),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Ragged, Isa::Avx2Fma(it)) => Box::new(Ragged::new(it, weight, bias, geometry)),
        _ => Box::new(Product::new(weight, bias, geometry)),
    }
}

/// Computes `weight * source + bias`, and calls `finish` on each sample while it is in the cache.
pub(crate) fn forward(
    isa: Isa,
    source: &Source<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    geometry: &Geometry,
    finish: &Finish<'_>,
) -> Vec<f32> {
    let runner = runner(isa, &Weight::forward(weight, geometry), bias, geometry);
    runner::convolve(&*runner, source, geometry, finish)
}

/// Computes the gradient with respect to the input, and calls `finish` on each sample while it is
/// in the cache.
pub(crate) fn grad_input(
    isa: Isa,
    grad: &[f32],
    weight: &[f32],
    geometry: &Geometry,
    finish: &Finish<'_>,
) -> Vec<f32> {
    let backward = geometry.backward();
    let source = Source::plain(Channels::new(grad, geometry.outputs, geometry.pixels()));
    let runner = runner(isa, &Weight::backward(weight, geometry), None, &backward);
    runner::convolve(&*runner, &source, &backward, finish)
}

/// Computes the gradient with respect to the input for one sample at a time, which `finish`
/// consumes.
pub(crate) fn grad_input_each(
    isa: Isa,
    grad: &[f32],
    weight: &[f32],
    geometry: &Geometry,
    finish: &Finish<'_>,
) {
    let backward = geometry.backward();
    let source = Source::plain(Channels::new(grad, geometry.outputs, geometry.pixels()));
    let runner = runner(isa, &Weight::backward(weight, geometry), None, &backward);
    runner::convolve_each(&*runner, &source, &backward, finish);
}

/// Computes the gradient `[O, I, k, k]` with respect to the weight.
pub(crate) fn grad_weight(
    isa: Isa,
    source: &Source<'_>,
    grad: &[f32],
    geometry: &Geometry,
) -> Vec<f32> {
    match (Algorithm::of_weight_gradient(isa, geometry), isa) {
        // Half of a vector of 16 would be idle.
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx512(it)) if geometry.kernel == 3 && geometry.width <= 8 => {
            weight_grad::weight_gradient(it.narrower(), source, grad, geometry)
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx512(it)) => {
            weight_grad::weight_gradient(it, source, grad, geometry)
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx2Fma(it)) => {
            weight_grad::weight_gradient(it, source, grad, geometry)
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd(size), Isa::Avx512(it)) => {
            winograd::weight_gradient(it, size, source, grad, geometry)
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd(size), Isa::Avx2Fma(it)) => {
            winograd::weight_gradient(it, size, source, grad, geometry)
        }
        _ => portable::weight_gradient(source, grad, geometry),
    }
}

/// Sizes of a convolution. The public function has checked that the shapes match.
pub(crate) fn geometry(x: &Shape, weight: &Shape) -> Result<Geometry> {
    let (batch, inputs, height, width) = x.dims4()?;
    let (outputs, _, kernel, _) = weight.dims4()?;
    Ok(Geometry { batch, inputs, outputs, height, width, kernel })
}

impl Conv2d {
    fn forward(
        &self,
        (x, x_layout): (&CpuStorage, &Layout),
        (weight, weight_layout): (&CpuStorage, &Layout),
        bias: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let geometry = geometry(x_layout.shape(), weight_layout.shape())?;
        let images = Channels::new(dense(x, x_layout)?, geometry.inputs, geometry.pixels());
        let weight = dense(weight, weight_layout)?;
        let source = Source::plain(images);
        let y = forward(self.isa, &source, weight, bias, &geometry, &|_, _| ());
        let Geometry { batch, outputs, height, width, .. } = geometry;
        Ok((CpuStorage::F32(y), Shape::from((batch, outputs, height, width))))
    }

    /// Computes the gradient with respect to an input of this shape.
    pub(crate) fn grad_input(&self, x: &Shape, weight: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let geometry = geometry(x, weight.shape())?;
        let grad_x = with_dense(weight, |weight| {
            with_dense(grad, |grad| Ok(grad_input(self.isa, grad, weight, &geometry, &|_, _| ())))
        })?;
        tensor(grad_x, x)
    }

    /// Computes the gradient with respect to a weight of this shape.
    pub(crate) fn grad_weight(&self, x: &Tensor, weight: &Shape, grad: &Tensor) -> Result<Tensor> {
        let geometry = geometry(x.shape(), weight)?;
        let grad_weight = with_dense(x, |x| {
            let source = Source::plain(Channels::new(x, geometry.inputs, geometry.pixels()));
            with_dense(grad, |grad| Ok(grad_weight(self.isa, &source, grad, &geometry)))
        })?;
        tensor(grad_weight, weight)
    }

    /// Computes the gradient with respect to the bias.
    pub(crate) fn grad_bias(&self, grad: &Tensor) -> Result<Tensor> {
        let (batch, outputs, height, width) = grad.dims4()?;
        with_dense(grad, |grad| {
            let sums = reduce::over_pixels(self.isa, grad, height * width);
            tensor(reduce::over_batch(&sums, batch, outputs), &Shape::from(outputs))
        })
    }

    /// Computes the gradients with respect to the input and the weight, except for frozen operands.
    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_x = x.track_op().then(|| self.grad_input(x.shape(), weight, grad));
        let grad_weight = weight.track_op().then(|| self.grad_weight(x, weight.shape(), grad));
        Ok((grad_x.transpose()?, grad_weight.transpose()?))
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, x_layout), (weight, weight_layout), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, weight, grad)
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = dense(bias, bias_layout)?;
        self.forward((x, x_layout), (weight, weight_layout), Some(bias))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (grad_x, grad_weight) = self.backward(x, weight, grad)?;
        let grad_bias = bias.track_op().then(|| self.grad_bias(grad));
        Ok((grad_x, grad_weight, grad_bias.transpose()?))
    }
}
