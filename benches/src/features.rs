//! Inception's features of images, and the Fréchet distance of two sets of features: what an
//! evaluation by FID takes.

use std::path::Path;

use candle_core::{Device, Tensor};
use kernels::noise::NoiseStream;
use metrics::{FeatureExtractor, Inception, Moments, Matrix, frechet_distance};

use crate::Result;

/// Where `uni-instruct dataset fetch inception`, run in the workspace, leaves the network.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data-cache/inception/default_1.pt");
/// Channels, height and width of the images that are looked at.
const IMAGE: [usize; 3] = [3, 32, 32];
/// Seed of images, features and, where the file is missing, weights.
const SEED: u64 = 17;
/// Scatter of features that all images share, relative to that of each alone: covariances whose
/// eigenvalues differ, as those of a network's features do.
const SHARED: f64 = 0.1;

/// Kernel and bias of every convolution: those of the file, or random ones of the same shapes, so that
/// nothing here needs the network. The time is the same.
///
/// # Errors
///
/// If the file is there and not readable.
pub fn weights() -> Result<Vec<[Tensor; 2]>> {
    if Path::new(FILE).exists() {
        return Ok(Inception::weights_of(FILE)?);
    }
    let shapes = Inception::shapes().into_iter().enumerate();
    let random = shapes.map(|(layer, shape)| {
        let stream = |which| NoiseStream::new(SEED, 2 * layer as u32 + which);
        let terms: usize = shape[1..].iter().product();
        let kernel = stream(0).normal_tensor(0, &shape, &Device::Cpu)?;
        let bias = stream(1).normal_tensor(0, (1, shape[0]), &Device::Cpu)?;
        // ReLU halves the mean square: He et al. 2015, arXiv:1502.01852.
        Ok([(kernel * (2.0 / terms as f64).sqrt())?, (bias.squeeze(0)? * 0.1)?])
    });
    random.collect()
}

/// So many images `[N, 3, 32, 32]` in [-1, 1].
///
/// # Errors
///
/// If memory is short.
pub fn images(count: usize) -> Result<Tensor> {
    let shape = [count, IMAGE[0], IMAGE[1], IMAGE[2]];
    let normal = NoiseStream::new(SEED, u32::MAX).normal_tensor(0, &shape, &Device::Cpu)?;
    Ok((normal * 0.5)?.clamp(-1f32, 1f32)?)
}

/// From images to features `[N, 2048]`: rounding to bytes, resize and network.
///
/// # Errors
///
/// If memory is short.
pub fn extract(network: &Inception, images: &Tensor) -> Result<Tensor> {
    Ok(network.extract(images)?.features)
}

/// Two sets of so many rows of features, `[N, D]`.
///
/// # Errors
///
/// If memory is short.
pub fn sets(count: usize, dim: usize) -> Result<[Tensor; 2]> {
    let set = |which: u32| -> Result<Tensor> {
        let stream = |part| NoiseStream::new(SEED, 4 * which + part);
        let alone = stream(0).normal_tensor(0, (count, dim), &Device::Cpu)?;
        let directions = stream(1).normal_tensor(0, (dim, dim), &Device::Cpu)?;
        let shared = (alone.matmul(&directions)? * (SHARED / (dim as f64).sqrt()))?;
        Ok((alone + shared)?)
    };
    Ok([set(0)?, set(1)?])
}

/// The same as rows.
///
/// # Errors
///
/// If they are not finite.
pub fn rows(sets: &[Tensor; 2]) -> Result<[Matrix; 2]> {
    let rows = |set: &Tensor| -> Result<Matrix> {
        Ok(Matrix::new("features", set.flatten_all()?.to_vec1()?, set.dim(1)?)?)
    };
    Ok([rows(&sets[0])?, rows(&sets[1])?])
}

/// The Fréchet distance of two sets of features: mean and covariance of both, then the distance.
///
/// # Errors
///
/// If there are fewer than two rows.
pub fn distance([a, b]: &[Matrix; 2]) -> Result<f64> {
    Ok(frechet_distance(&Moments::of(a).gaussian()?, &Moments::of(b).gaussian()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_within_their_range_and_features_have_full_rank() {
        let images = images(2).unwrap();
        assert_eq!(images.dims(), [2, 3, 32, 32]);
        let largest = images.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(largest.to_scalar::<f32>().unwrap() <= 1.0);
        let sets = rows(&sets(40, 8).unwrap()).unwrap();
        let [a, b] = &sets;
        assert!(a != b && 0.0 < distance(&sets).unwrap());
    }
}
