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
use models::ops::{Window, average_pool, conv2d_relu, max_pool, mean_pixels};

use crate::{Extracted, FeatureExtractor, Result};
use blocks::{BLOCKS, SPATIAL_BLOCK, STEM, Step};

/// Features of an image.
const FEATURES: usize = 2048;
/// Channels of a 17×17 block whose pixels are the spatial features: 7·17·17 = 2023, nearly as many.
const SPATIAL_CHANNELS: usize = 7;
/// Images whose activations are in memory at a time: some 20 MB each.
const AT_A_TIME: usize = 8;

/// A convolution, its batch norm folded in.
#[derive(Clone, Debug)]
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    window: Window,
}

/// The network. It runs on the CPU, whatever device the images are on.
#[derive(Clone, Debug)]
pub struct Inception {
    convolutions: Vec<Convolution>,
    hash: String,
}

impl Inception {
    /// What the extractor is called: a Fréchet distance of its features is FID.
    pub const NAME: &str = "inception-v3-2015-12-05";

    /// Images `[B, 3, 299, 299]`, scaled, to features `[B, 2048]` and spatial features `[B, 2023]`.
    fn features(&self, images: &Tensor) -> Result<[Tensor; 2]> {
        let mut convolutions = self.convolutions.iter();
        let mut x = run(STEM, images, &mut convolutions)?;
        let mut spatial = None;
        for (at, block) in BLOCKS.iter().enumerate() {
            x = branches(block, &x, &mut convolutions)?;
            if at == SPATIAL_BLOCK {
                spatial = Some(x.narrow(1, 0, SPATIAL_CHANNELS)?.flatten_from(1)?);
            }
        }
        let spatial = spatial.expect("the block is one of them");
        Ok([mean_pixels(&x)?, spatial])
    }
}

/// The steps one after another.
fn run<'a>(
    steps: &[Step],
    x: &Tensor,
    convolutions: &mut impl Iterator<Item = &'a Convolution>,
) -> Result<Tensor> {
    let mut x = x.clone();
    for step in steps {
        x = match step {
            Step::Convolve(_) => {
                let Convolution { weight, bias, window } =
                    convolutions.next().expect("the file had one for every step");
                conv2d_relu(&x, weight, bias, *window)?
            }
            Step::Halve => max_pool(&x, Window::valid(3, 2))?,
            Step::Average => average_pool(&x, Window::same([3, 3]))?,
            Step::Largest => max_pool(&x, Window::same([3, 3]))?,
            Step::Fork(paths) => branches(paths, &x, convolutions)?,
        };
    }
    Ok(x)
}

/// All paths from the same images, their channels one after another.
fn branches<'a>(
    paths: &[&[Step]],
    x: &Tensor,
    convolutions: &mut impl Iterator<Item = &'a Convolution>,
) -> Result<Tensor> {
    let ends: Vec<Tensor> =
        paths.iter().map(|steps| run(steps, x, convolutions)).collect::<Result<_>>()?;
    Ok(Tensor::cat(&ends, 1)?)
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
        for first in (0..count).step_by(AT_A_TIME) {
            let some = images.narrow(0, first, AT_A_TIME.min(count - first))?;
            let [pooled, pixels] = self.features(&resize::prepare(&some)?)?;
            features.push(pooled);
            spatial.push(pixels);
        }
        let spatial = Some(Tensor::cat(&spatial, 0)?);
        Ok(Extracted { features: Tensor::cat(&features, 0)?, spatial, logits: None })
    }
}
