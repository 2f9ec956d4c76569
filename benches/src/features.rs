//! Inception's features of images, and the Fréchet distance of two sets of features: the cost of
//! FID.

use std::path::Path;

use candle_core::{Device, Tensor};
use kernels::noise::NoiseStream;
use metrics::{FeatureExtractor, Inception, Matrix, Moments, frechet_distance};

use crate::Result;

/// Path of the network after `uni-instruct dataset fetch inception` in the workspace.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data-cache/inception/default_1.pt");
/// Channels, height and width of the images.
const IMAGE: [usize; 3] = [3, 32, 32];
/// Seed of images, features and, without the file, weights.
const SEED: u64 = 17;
/// Scale of the correlated part of the features, relative to the independent part. It gives the
/// covariances different eigenvalues, as in a network's features.
const SHARED: f64 = 0.1;

/// Reads kernel and bias of every convolution from the file. Without the file, makes random ones of
/// the same shapes, which take the same time.
///
/// # Errors
///
/// If the file exists and is not readable.
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

/// Makes images `[N, 3, 32, 32]` in [-1, 1].
///
/// # Errors
///
/// If a tensor operation fails.
pub fn images(count: usize) -> Result<Tensor> {
    let shape = [count, IMAGE[0], IMAGE[1], IMAGE[2]];
    let normal = NoiseStream::new(SEED, u32::MAX).normal_tensor(0, &shape, &Device::Cpu)?;
    Ok((normal * 0.5)?.clamp(-1f32, 1f32)?)
}

/// Computes features `[N, 2048]` of images: rounding to bytes, resize and network.
///
/// # Errors
///
/// If a tensor operation fails.
pub fn extract(network: &Inception, images: &Tensor) -> Result<Tensor> {
    Ok(network.extract(images)?.features)
}

/// Makes two sets of features, `[N, D]`.
///
/// # Errors
///
/// If a tensor operation fails.
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

/// Converts the sets to matrices of `metrics`.
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

/// Computes the Fréchet distance of two sets of features: mean and covariance of both, then the
/// distance.
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
    fn images_are_in_range_and_features_have_full_rank() {
        let images = images(2).unwrap();
        assert_eq!(images.dims(), [2, 3, 32, 32]);
        let largest = images.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(largest.to_scalar::<f32>().unwrap() <= 1.0);
        let sets = rows(&sets(40, 8).unwrap()).unwrap();
        let [a, b] = &sets;
        assert!(a != b && 0.0 < distance(&sets).unwrap());
    }
}
