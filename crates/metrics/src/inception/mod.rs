//! The network of FID: Inception-v3 of 2015-12-05 (Szegedy et al. 2016, arXiv:1512.00567; its use
//! for FID: Heusel et al. 2017, arXiv:1706.08500).
//!
//! # Why exactly this file
//!
//! FID is defined by this network, a port from TensorFlow: its pools ignore pixels beyond the edge,
//! its last block has a maximum in place of the other blocks' mean, and images are resized as in
//! TensorFlow 1. Other weights of the same architecture give another distance. The file is checked
//! by its hash when it is fetched, and the hash is part of every report.
//!
//! ```text
//! [B, 1 or 3, H, W] → bytes → 299×299 → (x − 128)/128 → stem → 11 mixed blocks → mean → [B, 2048]
//! ```
//!
//! Batch norms are folded into the convolutions when the file is read.
//!
//! The mean over pixels discards positions. sFID (Nash et al. 2021, arXiv:2103.03841, sec. 4) is
//! the Fréchet distance of features that keep them: the first seven channels of a 17×17 block.

mod blocks;
mod file;
mod resize;

use candle_core::{Device, Tensor};
use kernels::{ConvRelu, Joined, Window, mean_pixels};

use crate::{Error, Extracted, FeatureExtractor, Result};
use blocks::{BLOCKS, SPATIAL_BLOCK, STEM, Step, convolutions};

/// Number of features.
const FEATURES: usize = 2048;
/// Channels of a 17×17 block whose pixels are the 7·17·17 = 2023 spatial features.
const SPATIAL_CHANNELS: usize = 7;
/// Images per pass, unless twice the number of threads is larger. For more images the activations,
/// some 15 MB each, exceed the last-level cache; for fewer the weights are read too often.
const AT_A_TIME: usize = 8;

/// The network of FID. It runs on the CPU, for images on any device.
#[derive(Clone, Debug)]
pub struct Inception {
    convolutions: Vec<ConvRelu>,
    hash: String,
}

impl Inception {
    /// Name of the extractor. The Fréchet distance of its features is FID.
    pub const NAME: &str = "inception-v3-2015-12-05";

    /// Builds the network with other weights, for benchmarks without the file: kernel and bias of
    /// every convolution, in the order of [`Inception::shapes`].
    ///
    /// # Errors
    ///
    /// If the number of convolutions or a shape differs.
    pub fn new(weights: Vec<[Tensor; 2]>) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        for tensor in weights.iter().flatten() {
            for value in tensor.flatten_all()?.to_vec1::<f32>()? {
                hasher.update(&value.to_le_bytes());
            }
        }
        Self::build(weights, hasher.finalize().to_hex().to_string())
    }

    /// Shapes `[O, I, h, w]` of all kernels, in the order of execution.
    pub fn shapes() -> Vec<[usize; 4]> {
        convolutions().into_iter().map(|it| it.kernel()).collect()
    }

    /// Number of multiplications of the convolutions for one image.
    pub fn multiplications() -> usize {
        blocks::multiplications(resize::SIDE)
    }

    fn build(weights: Vec<[Tensor; 2]>, hash: String) -> Result<Self> {
        let shapes = convolutions();
        let (expected, found) = (shapes.len(), weights.len());
        if expected != found {
            return Err(Error::Size { what: "convolutions", expected, found });
        }
        let convolutions = shapes.iter().zip(weights).map(|(shape, [weight, bias])| {
            let (expected, found) = (shape.kernel(), weight.shape().clone());
            if found.dims() != expected || bias.dims() != [shape.outputs] {
                candle_core::bail!("Inception: a kernel is {found:?}, expected {expected:?}");
            }
            ConvRelu::new(&weight, &bias, shape.window())
        });
        Ok(Self { convolutions: convolutions.collect::<candle_core::Result<_>>()?, hash })
    }

    /// Maps scaled images `[B, 3, 299, 299]` to features `[B, 2048]` and spatial features
    /// `[B, 2023]`.
    fn features(&self, images: &Tensor) -> Result<[Tensor; 2]> {
        let mut convolutions = self.convolutions.iter();
        let mut x = images.clone();
        for step in STEM {
            x = apply(step, &x, &mut convolutions)?;
        }
        let mut spatial = None;
        for (at, block) in BLOCKS.iter().enumerate() {
            x = apply(block, &x, &mut convolutions)?;
            if at == SPATIAL_BLOCK {
                spatial = Some(x.narrow(1, 0, SPATIAL_CHANNELS)?.flatten_from(1)?);
            }
        }
        let spatial = spatial.expect("the block is one of them");
        Ok([mean_pixels(&x)?, spatial])
    }
}

/// Applies a step to `x`.
fn apply<'a>(
    step: &Step,
    x: &Tensor,
    convolutions: &mut impl Iterator<Item = &'a ConvRelu>,
) -> Result<Tensor> {
    let mut joined = Joined::new(step.outputs(x.dim(1)?));
    append(step, x, convolutions, &mut joined)?;
    Ok(joined.finish()?)
}

/// Applies a step to `x` and appends the result as the next channels of `joined`.
fn append<'a>(
    step: &Step,
    x: &Tensor,
    convolutions: &mut impl Iterator<Item = &'a ConvRelu>,
    joined: &mut Joined,
) -> Result<()> {
    match step {
        Step::Convolve(_) => {
            let convolution = convolutions.next().expect("there is one for every step");
            joined.convolve(convolution, x)?;
        }
        Step::Halve => joined.max_pool(x, Window::valid(3, 2))?,
        Step::Average => joined.average_pool(x, Window::same([3, 3]))?,
        Step::Largest => joined.max_pool(x, Window::same([3, 3]))?,
        Step::Fork(paths) => {
            for (last, before) in paths.iter().filter_map(|steps| steps.split_last()) {
                let x = before.iter().try_fold(x.clone(), |x, it| apply(it, &x, convolutions))?;
                append(last, &x, convolutions, joined)?;
            }
        }
    }
    Ok(())
}

impl FeatureExtractor for Inception {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn dim(&self) -> usize {
        FEATURES
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        None
    }

    fn resize(&self) -> &str {
        "TensorFlow 1 bilinear to 299x299"
    }

    /// Values are first rounded to bytes as in TensorFlow, `⌊127.5 x + 128⌋` within 0..=255; one
    /// channel stands for three equal channels.
    fn extract(&self, images: &Tensor) -> Result<Extracted> {
        let images = images.to_device(&Device::Cpu)?;
        let count = images.dim(0)?;
        let (mut features, mut spatial) = (Vec::new(), Vec::new());
        let at_a_time = AT_A_TIME.max(2 * rayon::current_num_threads());
        for first in (0..count).step_by(at_a_time) {
            let some = images.narrow(0, first, at_a_time.min(count - first))?;
            let [pooled, pixels] = self.features(&resize::prepare(&some)?)?;
            features.push(pooled);
            spatial.push(pixels);
        }
        let spatial = Some(Tensor::cat(&spatial, 0)?);
        Ok(Extracted { features: Tensor::cat(&features, 0)?, spatial, logits: None })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    fn zeros() -> Vec<[Tensor; 2]> {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let shapes = Inception::shapes().into_iter();
        shapes.map(|shape| [zeros(&shape), zeros(&shape[..1])]).collect()
    }

    #[test]
    fn the_table_ends_with_all_features() {
        let steps = STEM.iter().chain(BLOCKS);
        assert_eq!(steps.fold(3, |channels, step| step.outputs(channels)), FEATURES);
    }

    #[test]
    fn rejects_weights_of_other_shapes() {
        let mut weights = zeros();
        let first = weights.remove(0);
        let error = Inception::new(weights.clone()).unwrap_err().to_string();
        assert!(error.contains("convolutions: expected 94, found 93"), "{error}");
        weights.push(first);
        let error = format!("{:?}", Inception::new(weights).unwrap_err());
        assert!(error.contains("expected [32, 3, 3, 3]"), "{error}");
    }

    #[test]
    fn extracts_many_images_in_parts() {
        let mut weights = zeros();
        weights.iter_mut().for_each(|[_, bias]| *bias = (&*bias + 1.0).unwrap());
        let network = Inception::new(weights).unwrap();
        let count = AT_A_TIME.max(2 * rayon::current_num_threads()) + 1;
        let images = Tensor::zeros((count, 1, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let features = network.extract(&images).unwrap().features;
        assert_eq!(features.dims(), [count, FEATURES]);
        // With kernels of 0 only the bias of the last layers is left.
        let values = features.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.iter().all(|it| (it - 1.0).abs() < 1e-5));
    }
}
