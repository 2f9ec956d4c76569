//! The feature network of Fashion-MNIST: a small classifier whose last activations are the
//! features.
//!
//! # Why not Inception
//!
//! Inception takes half a second per image on a CPU and was trained on photographs. A network
//! trained on small gray images of ten kinds of clothing distinguishes them better at a thousandth
//! of the cost. Its metrics compare methods within this workspace; its Fréchet distance is not FID.
//!
//! ```text
//! [B, 1, 32, 32] → stem 32 → ½ → widen 64 → residual 64 → ½ → widen 128 → residual 128 → mean
//! ```
//!
//! Each layer is a 3×3 convolution, group norm and SiLU; ½ is a 2×2 mean. The features are the mean
//! over the last 8×8 positions, and the ten logits are a linear map of the features.

mod file;

use std::collections::BTreeMap;
use std::f64::consts::FRAC_1_SQRT_2;

use candle_core::{Device, Tensor, bail};
use kernels::Filter;
use kernels::noise::NoiseStream;
use models::{ParamSet, Params};

use crate::{Extracted, FeatureExtractor, Result};

pub use file::FeatureNetFile;

/// Name of the architecture. Increase its version when the layers change.
const ARCHITECTURE: &str = "fashion-mnist-128-v1";

/// Channels of the three stages; the last is the number of features.
const WIDTHS: [usize; 3] = [32, 64, 128];

/// Groups of each norm.
const GROUPS: usize = 8;
/// Value that each norm adds to the variance.
const EPSILON: f64 = 1e-5;

/// Noise stream of the initial weights, different from every stream of a run.
const INIT_STREAM: u32 = 0x4645_4154;

/// Convolutions: name, input channels, output channels.
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

/// Convolution, group norm, SiLU. The bias is in the norm.
#[derive(Clone, Debug)]
struct Layer {
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
}

impl FeatureNet {
    /// Channels, height and width of the input: 28 pixels padded by 2 on each side.
    pub const IMAGE: [usize; 3] = [1, 32, 32];
    /// Number of classes.
    pub const CLASSES: usize = 10;

    /// Makes initial parameters: He's normal distribution for the kernels, 0 for the head.
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

    /// Builds the network over these parameters.
    ///
    /// # Errors
    ///
    /// Naming the tensor that is missing or has another shape.
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

    /// Computes features `[B, 128]` of images `[B, 1, 32, 32]` in [-1, 1].
    ///
    /// # Errors
    ///
    /// If the images have another shape.
    pub fn features(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        if images.rank() != 4 || images.dims()[1..] != Self::IMAGE {
            bail!("{ARCHITECTURE} requires images [B, 1, 32, 32], found {:?}", images.dims());
        }
        let mut x = self.stem.forward(images)?;
        for (widen, residual) in self.widen.iter().zip(&self.residual) {
            x = widen.forward(&kernels::downsample2(&x, Filter::Box)?)?;
            // The factor keeps the variance of a sum of two independent branches of equal variance.
            x = kernels::add_scaled(&x, &residual.forward(&x)?, FRAC_1_SQRT_2)?;
        }
        x.flatten_from(2)?.mean(2)
    }

    /// Computes class logits `[B, 10]` of features `[B, 128]`.
    ///
    /// # Errors
    ///
    /// If the features have another shape.
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

/// A trained [`FeatureNet`] with the hash of its weights, from [`FeatureNetFile::extractor`].
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
