//! A convolution with ReLU whose weight is prepared once.

use std::fmt;
use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::composed::conv2d_relu;
use super::joined::Joined;
use super::target::Way;
use super::unrolled::Unrolled;
use super::{Images, Sizes, Window};
use crate::isa::Isa;
use crate::operand::{check_kind, image};
use crate::storage::{has_kernel, with_dense};

#[cfg(target_arch = "x86_64")]
use super::{gathered::Gathered, tiled::Tiled};

/// Smallest number of channels for which Winograd's transforms save time.
const WINOGRAD_CHANNELS: usize = 16;
/// Largest number of kernels whose transformed weight, four times the weight, fits into a cache.
const WINOGRAD_KERNELS: usize = 1 << 16;

/// Convolution, bias and ReLU, for networks that process many images.
///
/// ```text
/// y[b, o, i, j] = max(0, bias[o] + Σ_{c,u,v} weight[o, c, u, v] · x[b, c, s i + u − p, s j + v − q])
/// ```
///
/// with the window's stride s and paddings p and q; beyond the edge x is zero.
#[derive(Clone)]
pub struct ConvRelu {
    channels: usize,
    outputs: usize,
    window: Window,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Weight and bias for operands without a kernel.
    Composed { weight: Tensor, bias: Tensor },
    /// Prepared weight for f32 on the CPU.
    Prepared(Arc<dyn Way>),
}

impl fmt::Debug for ConvRelu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, outputs, window, .. } = self;
        write!(f, "ConvRelu({channels} to {outputs} channels, {window:?})")
    }
}

impl ConvRelu {
    /// Prepares a weight `[O, C, h, w]`, whose sides are the window's, and a bias `[O]`.
    ///
    /// # Errors
    ///
    /// If the shapes do not match each other or the window.
    pub fn new(weight: &Tensor, bias: &Tensor, window: Window) -> Result<Self> {
        Self::with(Isa::detect(), weight, bias, window)
    }

    pub(super) fn with(isa: Isa, weight: &Tensor, bias: &Tensor, window: Window) -> Result<Self> {
        let [outputs, channels, rows, columns] = image("ConvRelu", "weight", weight)?;
        if bias.dims() != [outputs] || [rows, columns] != window.size || outputs * channels == 0 {
            bail!(
                "ConvRelu: weight {:?}, bias {:?} and {window:?} do not match",
                weight.shape(),
                bias.shape()
            );
        }
        check_kind("ConvRelu", &[("weight", weight), ("bias", bias)])?;
        let kind = if has_kernel(&[weight, bias]) {
            Kind::Prepared(with_dense(weight, |weight| {
                with_dense(bias, |bias| Ok(prepare(isa, weight, bias, window)))
            })?)
        } else {
            Kind::Composed { weight: weight.clone(), bias: bias.clone() }
        };
        Ok(Self { channels, outputs, window, kind })
    }

    /// Applies the layer to images `[B, C, H, W]`. Returns `[B, O, H', W']` with `H' = ⌊(H + 2p −
    /// h)/s⌋ + 1`, `W' = ⌊(W + 2q − w)/s⌋ + 1`.
    ///
    /// # Errors
    ///
    /// If the images do not match the weight or the window.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut joined = Joined::new(self.outputs);
        joined.convolve(self, x)?;
        joined.finish()
    }

    pub(super) fn append(&self, x: &Tensor, joined: &mut Joined) -> Result<()> {
        let [batch, channels, height, width] = image("ConvRelu", "x", x)?;
        if channels != self.channels {
            bail!("ConvRelu: x has {channels} channels, but the weight has {}", self.channels);
        }
        let sides = [height, width];
        let places = self.window.places("ConvRelu", sides)?;
        let way = match &self.kind {
            Kind::Composed { weight, bias } => {
                return joined.push(conv2d_relu(x, weight, bias, self.window)?);
            }
            Kind::Prepared(way) => way,
        };
        if !has_kernel(&[x]) {
            bail!("ConvRelu: the weight is prepared for f32 on the CPU; convert x");
        }
        with_dense(x, |numbers| {
            let sizes = Sizes { channels, sides, places, window: self.window };
            // SAFETY: every implementation writes all of its target.
            unsafe {
                joined.append(batch, self.outputs, places, |target| {
                    way.run(Images { numbers, batch }, sizes, target);
                })
            }
        })
    }
}

/// Chooses the fastest implementation for this convolution.
fn prepare(isa: Isa, weight: &[f32], bias: &[f32], window: Window) -> Arc<dyn Way> {
    #[cfg(target_arch = "x86_64")]
    {
        let kernels = weight.len() / (window.size[0] * window.size[1]);
        let fewest = bias.len().min(kernels / bias.len());
        let winograd = WINOGRAD_CHANNELS <= fewest && kernels <= WINOGRAD_KERNELS;
        let square = window.size == [3, 3] && window.stride == 1;
        match (isa, window.padding) {
            (Isa::Avx512(it), [0, 0] | [1, 1]) if square && winograd => {
                return Arc::new(Tiled::new(it, weight, bias));
            }
            (Isa::Avx2Fma(it), [0, 0] | [1, 1]) if square && winograd => {
                return Arc::new(Tiled::new(it, weight, bias));
            }
            (Isa::Avx512(it), _) => return Arc::new(Gathered::new(it, weight, bias)),
            (Isa::Avx2Fma(it), _) => return Arc::new(Gathered::new(it, weight, bias)),
            (Isa::Portable, _) => (),
        }
    }
    let _ = (isa, window);
    Arc::new(Unrolled::new(weight, bias))
}
