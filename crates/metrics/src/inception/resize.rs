//! Input of the network: the resize of TensorFlow 1.

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

/// Height and width of the network's input.
pub(super) const SIDE: usize = 299;

/// Maps images `[B, 1 or 3, H, W]` in [-1, 1] to `[B, 3, 299, 299]`, rounded to bytes and scaled.
///
/// # Errors
///
/// If the number of channels is not 1 or 3, or the images are not on the CPU.
pub(super) fn prepare(images: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = images.dims4()?;
    if channels != 1 && channels != 3 {
        bail!("Inception requires images of 1 or 3 channels, found {channels}");
    }
    let values = images.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let (rows, columns) = (Steps::new(height), Steps::new(width));
    let mut resized = vec![0f32; batch * 3 * SIDE * SIDE];
    resized.par_chunks_exact_mut(SIDE * SIDE).enumerate().for_each(|(index, target)| {
        let (image, channel) = (index / 3, if channels == 1 { 0 } else { index % 3 });
        let source = &values[(image * channels + channel) * height * width..][..height * width];
        let bytes = source.iter().map(|x| (127.5 * x + 128.0).clamp(0.0, 255.0).floor());
        resize(&bytes.collect::<Vec<f32>>(), width, &rows, &columns, target);
        target.iter_mut().for_each(|it| *it = *it / 128.0 - 1.0);
    });
    Tensor::from_vec(resized, (batch, 3, SIDE, SIDE), images.device())
}

/// Sources of the pixels of an axis: two neighbors and the share of the second.
///
/// Pixel `i` lies at `i · n / 299` of `n`: the first pixels are aligned, without an offset of half
/// a pixel. The last pixel is repeated beyond the edge.
struct Steps(Vec<(usize, usize, f32)>);

impl Steps {
    fn new(len: usize) -> Self {
        let scale = len as f32 / SIDE as f32;
        let step = |i: usize| {
            let at = i as f32 * scale;
            let first = (at as usize).min(len - 1);
            (first, (first + 1).min(len - 1), at - first as f32)
        };
        Self((0..SIDE).map(step).collect())
    }
}

/// Resizes a channel bilinearly: along the rows, then along the columns.
fn resize(source: &[f32], width: usize, rows: &Steps, columns: &Steps, target: &mut [f32]) {
    let along: Vec<f32> = source
        .chunks_exact(width)
        .flat_map(|row| {
            columns
                .0
                .iter()
                .map(|&(left, right, share)| row[left] + (row[right] - row[left]) * share)
        })
        .collect();
    for (target, &(above, below, share)) in target.chunks_exact_mut(SIDE).zip(&rows.0) {
        let (above, below) = (&along[above * SIDE..][..SIDE], &along[below * SIDE..][..SIDE]);
        for ((target, above), below) in target.iter_mut().zip(above).zip(below) {
            *target = above + (below - above) * share;
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn resizes_as_tensorflow_does() {
        // A ramp from byte 0 to 255: 255 · 2i/299 at column i, up to the second pixel.
        let image = Tensor::new(&[[[[-1f32, 1.0], [-1.0, 1.0]]]], &Device::Cpu).unwrap();
        let resized = prepare(&image).unwrap();
        let row = resized.get(0).unwrap().get(2).unwrap().get(298).unwrap();
        let row = row.to_vec1::<f32>().unwrap();
        for (i, found) in row.iter().enumerate() {
            let expected = (255.0 * (2.0 * i as f32 / 299.0).min(1.0) - 128.0) / 128.0;
            assert!((found - expected).abs() < 1e-5, "{i}: {found}, not {expected}");
        }
    }

    #[test]
    fn rounds_values_to_bytes() {
        // ⌊127.5 x + 128⌋: 0.004 is 128.51, -0.001 is 127.87; values outside the range are clamped.
        let image = Tensor::new(&[0.004f32, -0.001, 7.0, -7.0], &Device::Cpu).unwrap();
        let resized = prepare(&image.reshape((4, 1, 1, 1)).unwrap()).unwrap();
        let first = resized.narrow(1, 0, 1).unwrap().flatten_from(1).unwrap();
        let first = first.narrow(1, 0, 1).unwrap().flatten_all().unwrap();
        assert_eq!(first.to_vec1::<f32>().unwrap(), [0.0, -1.0 / 128.0, 127.0 / 128.0, -1.0]);
    }

    #[test]
    fn rejects_two_channels() {
        let image = Tensor::zeros((1, 2, 4, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(prepare(&image).unwrap_err().to_string().contains("found 2"));
    }
}
