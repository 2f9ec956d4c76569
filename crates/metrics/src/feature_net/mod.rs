//! The feature network of Fashion-MNIST: a small classifier whose last activations are features.
//!
//! # Why not Inception here
//!
//! Inception costs half a second an image on a processor and was trained on photographs. For small
//! gray images of ten kinds of clothing a network of their own tells them apart better at a
//! thousandth of the cost. Its figures compare methods within this workspace; they are no FIDs.
//!
//! ```text
//! [B, 1, 32, 32] → stem 32 → ½ → widen 64 → residual 64 → ½ → widen 128 → residual 128 → mean
//! ```
//!
//! each layer a 3×3 convolution, group norm and SiLU; ½ is a 2×2 mean. The mean over the last
//! 8×8 positions gives the 128 features, and a linear map of them the ten logits.

mod file;

use std::collections::BTreeMap;
use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Device, Tensor, bail};
use kernels::Filter;
use kernels::noise::NoiseStream;
use models::{ParamSet, Params};

use crate::{Extracted, FeatureExtractor, Result};

pub use file::FeatureNetFile;

/// Name of the architecture: raise its number when the layers change.
const ARCHITECTURE: &str = "fashion-mnist-128-v1";

/// Channels of the three stages; the last is the number of features.
const WIDTHS: [usize; 3] = [32, 64, 128];

/// Groups of each norm, and what it adds to the variance.
const GROUPS: usize = 8;
const EPSILON: f64 = 1e-5;

/// Stream of the initial weights, apart from every stream of a run.
const INIT_STREAM: u32 = 0x4645_4154;

/// The convolutions: name, channels in, channels out.
const CONVOLUTIONS: [(&str, usize, usize); 5] = [
    ("stem", FeatureNet::IMAGE[0], WIDTHS[0]),
    ("widen1", WIDTHS[0], WIDTHS[1]),
    ("residual1", WIDTHS[1], WIDTHS[1]),
    ("widen2", WIDTHS[1], WIDTHS[2]),
    ("residual2", WIDTHS[2], WIDTHS[2]),
];

/// Side of every convolution's kernel.
const KERNEL: usize = 3;

/// The network, over trainable or frozen parameters.
#[derive(Clone, Debug)]
pub struct FeatureNet {
    stem: Layer,
    widen: [Layer; 2],
    residual: [Layer; 2],
    head: [Tensor; 2],
}

/// Convolution, group norm, SiLU. The norm has the bias.
#[derive(Clone, Debug)]
struct Layer {
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
}

impl FeatureNet {
    /// Channels of the input, and its height and width: 28 padded by 2.
    pub const IMAGE: [usize; 3] = [1, 32, 32];
    /// Kinds of clothing.
    pub const CLASSES: usize = 10;

    /// Initial parameters: He's normal law for the kernels, head at 0.
    ///
    /// # Errors
    ///
    /// If the tensors cannot be made.
    pub fn init(seed: u64) -> models::Result<ParamSet> {
        let stream = NoiseStream::new(seed, INIT_STREAM);
        let device = Device::Cpu;
        let mut tensors = BTreeMap::new();
        for (position, (name, inputs, outputs)) in CONVOLUTIONS.into_iter().enumerate() {
            let fan_in = inputs * KERNEL * KERNEL;
            let normal = stream.normal_tensor(position as u64, (1, outputs * fan_in), &device)?;
            let weight = (normal * (2.0 / fan_in as f64).sqrt())?;
            let shape = (outputs, inputs, KERNEL, KERNEL);
            tensors.insert(format!("{name}.weight"), weight.reshape(shape)?);
            tensors.insert(format!("{name}.norm.weight"), Tensor::full(1f32, outputs, &device)?);
            tensors.insert(format!("{name}.norm.bias"), Tensor::full(0f32, outputs, &device)?);
        }
        let head = Tensor::full(0f32, (Self::CLASSES, WIDTHS[2]), &device)?;
        tensors.insert("head.weight".to_owned(), head);
        tensors.insert("head.bias".to_owned(), Tensor::full(0f32, Self::CLASSES, &device)?);
        ParamSet::from_tensors(&tensors)
    }

    /// The network over these parameters.
    ///
    /// # Errors
    ///
    /// Naming the tensor that is missing or of another shape.
    pub fn new(params: &Params) -> models::Result<Self> {
        let layer = |(name, inputs, outputs): (&str, usize, usize)| -> models::Result<Layer> {
            let params = params.at(name);
            Ok(Layer {
                weight: params.get("weight", (outputs, inputs, KERNEL, KERNEL))?,
                scale: params.at("norm").get("weight", outputs)?,
                shift: params.at("norm").get("bias", outputs)?,
            })
        };
        let [stem, widen1, residual1, widen2, residual2] = CONVOLUTIONS;
        let head = params.at("head");
        Ok(Self {
            stem: layer(stem)?,
            widen: [layer(widen1)?, layer(widen2)?],
            residual: [layer(residual1)?, layer(residual2)?],
            head: [
                head.get("weight", (Self::CLASSES, WIDTHS[2]))?,
                head.get("bias", Self::CLASSES)?,
            ],
        })
    }

    /// Features `[B, 128]` of images `[B, 1, 32, 32]` in [-1, 1].
    ///
    /// # Errors
    ///
    /// If the images are of another shape.
    pub fn features(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        if images.rank() != 4 || images.dims()[1..] != Self::IMAGE {
            bail!("{ARCHITECTURE} takes images [B, 1, 32, 32], not {:?}", images.dims());
        }
        let mut x = self.stem.forward(images)?;
        for (widen, residual) in self.widen.iter().zip(&self.residual) {
            x = widen.forward(&kernels::downsample2(&x, Filter::Box)?)?;
            // Two independent branches of equal variance: the sum is brought back to it.
            x = kernels::add_scaled(&x, &residual.forward(&x)?, FRAC_1_SQRT_2)?;
        }
        x.flatten_from(2)?.mean(2)
    }

    /// Class logits `[B, 10]` of features `[B, 128]`.
    ///
    /// # Errors
    ///
    /// If the features are of another shape.
    pub fn logits(&self, features: &Tensor) -> candle_core::Result<Tensor> {
        let [weight, bias] = &self.head;
        kernels::linear(features, weight, Some(bias))
    }
}

impl Layer {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let x = kernels::conv2d(x, &self.weight, None)?;
        kernels::group_norm_silu(&x, &self.scale, &self.shift, GROUPS, EPSILON)
    }
}

/// A trained [`FeatureNet`] that knows who it is; made by [`FeatureNetFile::extractor`].
#[derive(Clone, Debug)]
pub struct TrainedFeatureNet {
    net: FeatureNet,
    hash: String,
}

impl FeatureExtractor for TrainedFeatureNet {
    fn name(&self) -> &str {
        ARCHITECTURE
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn dim(&self) -> usize {
        WIDTHS[2]
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        Some(FeatureNet::IMAGE)
    }

    fn extract(&self, images: &Tensor) -> Result<Extracted> {
        let features = self.net.features(images)?;
        let logits = self.net.logits(&features)?;
        Ok(Extracted { features, spatial: None, logits: Some(logits) })
    }
}
