//! The network that makes a Fréchet distance the field's FID: Inception-v3 of 2015-12-05
//! (Szegedy et al. 2016, arXiv:1512.00567; its use for FID: Heusel et al. 2017, arXiv:1706.08500).
//!
//! # Why this very file
//!
//! Figures of two extractors cannot be compared, and this one was ported from TensorFlow: its pools
//! leave out the edge, its last block takes a maximum where the others take a mean, and images are
//! resized in the way of TensorFlow 1. Weights of the same architecture from elsewhere give another
//! distance. So the file is checked by its hash when it is fetched, and its hash goes with every
//! figure.
//!
//! ```text
//! [B, 1 or 3, H, W] → bytes → 299×299 → (x − 128)/128 → stem → 11 mixed blocks → mean → [B, 2048]
//! ```
//!
//! Batch norms are folded into the convolutions when the file is read.
//!
//! The mean forgets where in the image anything is. sFID (Nash et al. 2021, arXiv:2103.03841, sec. 4)
//! is the Fréchet distance of features that do not: the first seven channels of a 17×17 block.

mod blocks;
mod file;
mod resize;

use candle_core::{Device, Tensor};
use kernels::{ConvRelu, Joined, Window, mean_pixels};

use crate::{Error, Extracted, FeatureExtractor, Result};
use blocks::{BLOCKS, SPATIAL_BLOCK, STEM, Step, convolutions};

/// Features of an image.
const FEATURES: usize = 2048;
/// Channels of a 17×17 block whose pixels are the spatial features: 7·17·17 = 2023, nearly as many.
const SPATIAL_CHANNELS: usize = 7;
/// Images that are in the network at a time, unless there are more threads than half as many. With more
/// the activations, some 15 MB each, leave the last cache; with fewer the weights are read too often.
const AT_A_TIME: usize = 8;

/// The network. It runs on the CPU, whatever device the images are on.
#[derive(Clone, Debug)]
pub struct Inception {
    convolutions: Vec<ConvRelu>,
    hash: String,
}

impl Inception {
    /// What the extractor is called: a Fréchet distance of its features is FID.
    pub const NAME: &str = "inception-v3-2015-12-05";

    /// The network with other weights: for measuring where there is no file. Kernel and bias of every
    /// convolution, of [`Inception::shapes`].
    ///
    /// # Errors
    ///
    /// If there are not as many, or one is of another shape.
    pub fn new(weights: Vec<[Tensor; 2]>) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        for tensor in weights.iter().flatten() {
            for number in tensor.flatten_all()?.to_vec1::<f32>()? {
                hasher.update(&number.to_le_bytes());
            }
        }
        Self::build(weights, hasher.finalize().to_hex().to_string())
    }

    /// The shapes `[O, I, h, w]` of all kernels, in the order in which they are applied.
    pub fn shapes() -> Vec<[usize; 4]> {
        convolutions().into_iter().map(|it| it.kernel()).collect()
    }

    /// Multiplications of its convolutions for one image.
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
                candle_core::bail!("Inception: a kernel is {found:?}, {expected:?} was expected");
            }
            ConvRelu::new(&weight, &bias, shape.window())
        });
        Ok(Self { convolutions: convolutions.collect::<candle_core::Result<_>>()?, hash })
    }

    /// Images `[B, 3, 299, 299]`, scaled, to features `[B, 2048]` and spatial features `[B, 2023]`.
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

/// What a step makes of `x`.
fn apply<'a>(
    step: &Step,
    x: &Tensor,
    convolutions: &mut impl Iterator<Item = &'a ConvRelu>,
) -> Result<Tensor> {
    let mut joined = Joined::new(step.outputs(x.dim(1)?));
    append(step, x, convolutions, &mut joined)?;
    Ok(joined.finish()?)
}

/// The same, as the next channels of `joined`.
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

    /// Values are first rounded to the bytes that a file of the image would have, `⌊127.5 x + 128⌋`
    /// within 0 and 255; one channel counts as three equal ones.
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
    fn the_table_ends_in_the_features() {
        let steps = STEM.iter().chain(BLOCKS);
        assert_eq!(steps.fold(3, |channels, step| step.outputs(channels)), FEATURES);
    }

    #[test]
    fn weights_of_other_shapes_are_refused() {
        let mut weights = zeros();
        let first = weights.remove(0);
        let error = Inception::new(weights.clone()).unwrap_err().to_string();
        assert!(error.contains("convolutions: expected 94, found 93"), "{error}");
        weights.push(first);
        let error = format!("{:?}", Inception::new(weights).unwrap_err());
        assert!(error.contains("[32, 3, 3, 3] was expected"), "{error}");
    }

    #[test]
    fn images_go_through_the_network_in_parts() {
        let mut weights = zeros();
        weights.iter_mut().for_each(|[_, bias]| *bias = (&*bias + 1.0).unwrap());
        let network = Inception::new(weights).unwrap();
        let count = AT_A_TIME.max(2 * rayon::current_num_threads()) + 1;
        let images = Tensor::zeros((count, 1, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let features = network.extract(&images).unwrap().features;
        assert_eq!(features.dims(), [count, FEATURES]);
        // All that is added to nothing is the bias of the last layers.
        let numbers = features.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(numbers.iter().all(|it| (it - 1.0).abs() < 1e-5));
    }
}
