//! Convolution on the CPU: which kernel for which shape.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

use super::geometry::Geometry;
use super::portable;
use super::weight::Weight;
use crate::ops::isa::Isa;
use crate::ops::reduce;
use crate::ops::storage::{dense, tensor, with_dense};

#[cfg(target_arch = "x86_64")]
use super::{direct, weight_grad, winograd};

/// Channels below which Winograd's transforms cost more than they save.
const WINOGRAD_CHANNELS: usize = 16;
/// Tiles below which they do, too.
const WINOGRAD_TILES: usize = 32;
/// Channels from which a matrix product beats the direct kernel where `k` is 1.
const PRODUCT_CHANNELS: usize = 128;

/// The convolution as an operation of candle's graph.
pub(crate) struct Conv2d {
    pub(in crate::ops) isa: Isa,
}

/// How to convolve.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Portable,
    Direct,
    Winograd,
}

impl Algorithm {
    /// For the output, or for the gradient by the input (of [`Geometry::backward`]).
    fn of_convolution(isa: Isa, geometry: &Geometry) -> Self {
        let &Geometry { batch, inputs, outputs, kernel, .. } = geometry;
        if let Isa::Portable = isa {
            return Self::Portable;
        }
        let fewest = inputs.min(outputs);
        let tiles = batch * geometry.pixels() / 4;
        match kernel {
            1 if PRODUCT_CHANNELS <= fewest => Self::Portable,
            1 => Self::Direct,
            3 if winograd_fits(geometry)
                && WINOGRAD_CHANNELS <= fewest
                && WINOGRAD_TILES <= tiles =>
            {
                Self::Winograd
            }
            3 => Self::Direct,
            _ => Self::Portable,
        }
    }

    /// For the gradient by the weight.
    fn of_weight_gradient(isa: Isa, geometry: &Geometry) -> Self {
        let tiles = geometry.batch * geometry.pixels() / 4;
        match Self::of_convolution(isa, geometry) {
            // The transformed sums are read and written once for every few tiles.
            Self::Winograd if tiles <= geometry.inputs.max(geometry.outputs) => Self::Direct,
            algorithm => algorithm,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn winograd_fits(geometry: &Geometry) -> bool {
    winograd::fits(geometry)
}

#[cfg(not(target_arch = "x86_64"))]
fn winograd_fits(_: &Geometry) -> bool {
    false
}

fn convolve(
    isa: Isa,
    x: &[f32],
    weight: &Weight<'_>,
    bias: Option<&[f32]>,
    geometry: &Geometry,
) -> Vec<f32> {
    match (Algorithm::of_convolution(isa, geometry), isa) {
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx512(it)) => direct::convolve(it, x, weight, bias, geometry),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx2Fma(it)) => direct::convolve(it, x, weight, bias, geometry),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd, Isa::Avx512(it)) => winograd::convolve(it, x, weight, bias, geometry),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd, Isa::Avx2Fma(it)) => {
            winograd::convolve(it, x, weight, bias, geometry)
        }
        _ => portable::convolve(x, weight, bias, geometry),
    }
}

fn weight_gradient(isa: Isa, x: &[f32], grad: &[f32], geometry: &Geometry) -> Vec<f32> {
    match (Algorithm::of_weight_gradient(isa, geometry), isa) {
        // Half of a vector of sixteen would be idle.
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx512(it)) if geometry.kernel == 3 && geometry.width <= 8 => {
            weight_grad::weight_gradient(it.narrower(), x, grad, geometry)
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx512(it)) => weight_grad::weight_gradient(it, x, grad, geometry),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Direct, Isa::Avx2Fma(it)) => {
            weight_grad::weight_gradient(it, x, grad, geometry)
        }
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd, Isa::Avx512(it)) => winograd::weight_gradient(it, x, grad, geometry),
        #[cfg(target_arch = "x86_64")]
        (Algorithm::Winograd, Isa::Avx2Fma(it)) => winograd::weight_gradient(it, x, grad, geometry),
        _ => portable::weight_gradient(x, grad, geometry),
    }
}

/// The sizes, where the public function has checked that the shapes fit.
fn geometry(x: &Shape, weight: &Shape) -> Result<Geometry> {
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
        let weight = Weight::forward(dense(weight, weight_layout)?, &geometry);
        let y = convolve(self.isa, dense(x, x_layout)?, &weight, bias, &geometry);
        let Geometry { batch, outputs, height, width, .. } = geometry;
        Ok((CpuStorage::F32(y), Shape::from((batch, outputs, height, width))))
    }

    /// The gradient by the input, of this shape.
    pub(crate) fn by_input(
        &self,
        x: &Shape,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<Tensor> {
        let geometry = geometry(x, weight.shape())?;
        let by_x = with_dense(weight, |weight| {
            let weight = Weight::backward(weight, &geometry);
            with_dense(grad, |grad| {
                Ok(convolve(self.isa, grad, &weight, None, &geometry.backward()))
            })
        })?;
        tensor(by_x, x)
    }

    /// The gradient by the weight, of this shape.
    pub(crate) fn by_weight(
        &self,
        x: &Tensor,
        weight: &Shape,
        grad: &Tensor,
    ) -> Result<Tensor> {
        let geometry = geometry(x.shape(), weight)?;
        let by_weight = with_dense(x, |x| {
            with_dense(grad, |grad| Ok(weight_gradient(self.isa, x, grad, &geometry)))
        })?;
        tensor(by_weight, weight)
    }

    /// The gradient by the bias.
    pub(crate) fn by_bias(&self, grad: &Tensor) -> Result<Tensor> {
        let (batch, outputs, height, width) = grad.dims4()?;
        with_dense(grad, |grad| {
            let sums = reduce::over_pixels(self.isa, grad, height * width);
            tensor(reduce::over_batch(&sums, batch, outputs), &Shape::from(outputs))
        })
    }

    /// The gradients by input and weight; of a frozen operand there is none.
    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let by_x = x.track_op().then(|| self.by_input(x.shape(), weight, grad));
        let by_weight = weight.track_op().then(|| self.by_weight(x, weight.shape(), grad));
        Ok((by_x.transpose()?, by_weight.transpose()?))
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
        let (by_x, by_weight) = self.backward(x, weight, grad)?;
        let by_bias = bias.track_op().then(|| self.by_bias(grad));
        Ok((by_x, by_weight, by_bias.transpose()?))
    }
}
