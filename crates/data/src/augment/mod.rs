//! EDM's augmentation: flips and small affine maps, and the labels that condition the network on
//! them.
//!
//! A network conditioned on the transformation of an image does not learn to generate transformed
//! images: at sampling the labels are zero, which stands for the identity (Karras et al. 2022,
//! arXiv:2206.00364, appendix F.2 and Table 6, after Karras et al. 2020, arXiv:2006.06676).
//!
//! Each sample's transformation is a function of counter-based noise at the sample's position, so
//! the result does not depend on how positions are split into batches.

mod affine;
mod warp;

#[cfg(test)]
mod tests;

use std::f64::consts::PI;

use candle_core::{DType, Tensor};
use kernels::noise::NoiseStream;
use serde::{Deserialize, Serialize};

use crate::Error;

use affine::Affine;

/// Length of an augmentation label, `A`.
pub const LABEL_LEN: usize = 9;

/// Noise stream of uniform values for transformations.
pub const UNIFORM_STREAM: u32 = 0xDA7A_0002;
/// Noise stream of normal values for transformations.
pub const NORMAL_STREAM: u32 = 0xDA7A_0003;

/// Standard deviation of log2 of the scale factor.
const SCALE_STD: f64 = 0.2;
/// Standard deviation of log2 of the stretch factor.
const ANISO_STD: f64 = 0.2;
/// Probability that the axis of stretching is not the image's horizontal axis.
const ANISO_ROTATE_PROBABILITY: f64 = 0.5;
/// Standard deviation of the shift, in widths and heights of the image.
const TRANSLATE_STD: f64 = 0.125;

/// Probabilities of the transformations.
///
/// A transformation is applied to a sample with probability `min(1, probability · multiplier)`,
/// independently of the others; a flip, if chosen, is applied half of the time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentPipe {
    /// Common factor of all probabilities; 0 leaves every image unchanged.
    pub probability: f64,
    /// Multiplier of flips that exchange left and right.
    pub xflip: f64,
    /// Multiplier of flips that exchange top and bottom.
    pub yflip: f64,
    /// Multiplier of scaling by `2^(0.2 w)`, `w` standard normal.
    pub scale: f64,
    /// Multiplier of rotation by an angle uniform in (-π, π).
    pub rotate_frac: f64,
    /// Multiplier of stretching by `2^(0.2 w)` along an axis and shrinking by the same factor
    /// across it.
    pub aniso: f64,
    /// Multiplier of shifts by an eighth of the image's size times a standard normal, along each
    /// axis.
    pub translate_frac: f64,
}

impl Default for AugmentPipe {
    /// EDM's pipe for CIFAR-10, FFHQ and AFHQ, except that the probability is 0.
    fn default() -> Self {
        Self::edm(0.0)
    }
}

impl AugmentPipe {
    /// EDM's pipe: x-flips are always chosen, because of their multiplier 1e8, the others with
    /// `probability`, which EDM sets to 0.12 on CIFAR-10 and 0.15 on FFHQ and AFHQ.
    pub const fn edm(probability: f64) -> Self {
        Self {
            probability,
            xflip: 1e8,
            yflip: 1.0,
            scale: 1.0,
            rotate_frac: 1.0,
            aniso: 1.0,
            translate_frac: 1.0,
        }
    }

    /// Augments the images at positions `start..start + B` of the run with this seed.
    ///
    /// # Shapes
    ///
    /// - `images`: `[B, C, H, W]`, f32, any units
    /// - returns: images of the same shape, and labels `[B, 9]`: x-flipped (0 or 1), y-flipped,
    ///   `w` of the scale, `cos a - 1` and `sin a` of the rotation, `w cos r` and `w sin r` of the
    ///   stretching along the axis at angle `r`, and the two normals of the shift
    ///
    /// # Errors
    ///
    /// If `images` has another rank, or its device cannot hold the result.
    pub fn apply(&self, images: &Tensor, seed: u64, start: u64) -> Result<(Tensor, Tensor), Error> {
        let (count, channels, height, width) = images.dims4()?;
        let mut pixels = images.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let mut labels = Vec::with_capacity(count * LABEL_LEN);
        let area = height * width;
        for (sample, position) in pixels.chunks_exact_mut((channels * area).max(1)).zip(start..) {
            let transform = Transform::draw(self, seed, position);
            labels.extend(transform.label());
            sample.chunks_exact_mut(area).for_each(|plane| transform.apply(plane, width));
        }
        let device = images.device();
        let pixels = Tensor::from_vec(pixels, (count, channels, height, width), device)?;
        Ok((pixels, Tensor::from_vec(labels, (count, LABEL_LEN), device)?))
    }
}

/// Transformation of one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Transform {
    xflip: bool,
    yflip: bool,
    /// Normal `w` of the scale `2^(0.2 w)`.
    scale: f64,
    /// Angle of the rotation, in radians.
    angle: f64,
    /// Normal `w` of the stretching `2^(0.2 w)`.
    aniso: f64,
    /// Angle of the stretching's axis, in radians.
    aniso_angle: f64,
    /// Normals of the shift.
    shift: [f64; 2],
}

impl Transform {
    fn draw(pipe: &AugmentPipe, seed: u64, position: u64) -> Self {
        let uniforms = NoiseStream::new(seed, UNIFORM_STREAM);
        let normals = NoiseStream::new(seed, NORMAL_STREAM);
        let uniform = |element| uniforms.uniform(position, element);
        let normal = |element| normals.normal(position, element);
        let is_chosen = |element, multiplier: f64| uniform(element) < pipe.probability * multiplier;
        let angle = |element| (2.0 * uniform(element) - 1.0) * PI;

        let mut drawn = Self::default();
        if is_chosen(0, pipe.xflip) {
            drawn.xflip = uniform(1) < 0.5;
        }
        if is_chosen(2, pipe.yflip) {
            drawn.yflip = uniform(3) < 0.5;
        }
        if is_chosen(4, pipe.scale) {
            drawn.scale = normal(0);
        }
        if is_chosen(5, pipe.rotate_frac) {
            drawn.angle = angle(6);
        }
        if is_chosen(7, pipe.aniso) {
            drawn.aniso = normal(1);
            if uniform(8) < ANISO_ROTATE_PROBABILITY {
                drawn.aniso_angle = angle(9);
            }
        }
        if is_chosen(10, pipe.translate_frac) {
            drawn.shift = [normal(2), normal(3)];
        }
        drawn
    }

    /// Label for the network; zeros for the identity.
    fn label(&self) -> [f32; LABEL_LEN] {
        [
            f64::from(self.xflip),
            f64::from(self.yflip),
            self.scale,
            self.angle.cos() - 1.0,
            self.angle.sin(),
            self.aniso * self.aniso_angle.cos(),
            self.aniso * self.aniso_angle.sin(),
            self.shift[0],
            self.shift[1],
        ]
        .map(|it| it as f32)
    }

    /// Map from a pixel of the result to its source in the image, both relative to the center, in
    /// pixels, x to the right and y down.
    fn source(&self, height: usize, width: usize) -> Affine {
        let shift = [(width, self.shift[0]), (height, self.shift[1])]
            .map(|(n, w)| n as f64 * TRANSLATE_STD * w);
        let scale = (SCALE_STD * self.scale).exp2();
        let stretch = (ANISO_STD * self.aniso).exp2();
        Affine::scale(1.0 / scale, 1.0 / scale)
            .after(&Affine::rotation(self.angle))
            .after(&Affine::rotation(-self.aniso_angle))
            .after(&Affine::scale(1.0 / stretch, stretch))
            .after(&Affine::rotation(self.aniso_angle))
            .after(&Affine::translation(-shift[0], -shift[1]))
    }

    /// Transforms one plane of rows of `width`.
    fn apply(&self, plane: &mut [f32], width: usize) {
        if self.xflip {
            plane.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        }
        if self.yflip {
            let height = plane.len() / width;
            for y in 0..height / 2 {
                let (top, bottom) = plane.split_at_mut((height - 1 - y) * width);
                top[y * width..][..width].swap_with_slice(&mut bottom[..width]);
            }
        }
        let flips = Self { xflip: self.xflip, yflip: self.yflip, ..Self::default() };
        // Flips move pixels exactly, without resampling.
        if *self != flips {
            warp::warp(plane, width, &self.source(plane.len() / width, width));
        }
    }
}
