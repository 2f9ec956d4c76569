//! Checks of a network's conditioning, and label dropout.

use candle_core::{Device, Result, Tensor, bail};

use super::Sizes;
use crate::denoiser::Conditioning;
use kernels::DropoutKey;
use kernels::noise::NoiseStream;

/// Noise stream of label dropout. Dropout layers count up from another base.
const LABEL_DROPOUT_STREAM: u32 = 0x4c41_4245;

/// The labels `[B, K]` in the network's precision, with whole rows zeroed by label dropout.
///
/// Zeros mean "no class". A network trained with label dropout may be called without labels; any
/// other conditional network may not.
pub(crate) fn labels(
    cond: &Conditioning,
    sizes: &Sizes,
    label_dropout: f64,
    x: &Tensor,
) -> Result<Option<Tensor>> {
    let (batch, classes) = (x.dim(0)?, sizes.label_dim);
    let labels = match (&cond.labels, classes) {
        (None, 0) => return Ok(None),
        (Some(labels), 0) => {
            bail!("labels {:?} given to an unconditional network; leave them out", labels.shape())
        }
        (None, _) if 0.0 < label_dropout => {
            return Tensor::zeros((batch, classes), x.dtype(), x.device()).map(Some);
        }
        (None, _) => bail!("no labels given to a network of {classes} classes"),
        (Some(labels), _) => labels,
    };
    if labels.dims() != [batch, classes] {
        bail!("labels are {:?}, expected [{batch}, {classes}]", labels.shape());
    }
    let labels = labels.to_dtype(x.dtype())?;
    match cond.dropout {
        Some(key) if 0.0 < label_dropout => {
            labels.broadcast_mul(&label_mask(key, label_dropout, &labels)?).map(Some)
        }
        _ => Ok(Some(labels)),
    }
}

/// `[B, 1]` of ones, and of zeros with probability `p`.
fn label_mask(key: DropoutKey, p: f64, labels: &Tensor) -> Result<Tensor> {
    let stream = NoiseStream::new(key.seed, LABEL_DROPOUT_STREAM);
    let batch = labels.dim(0)?;
    let keep = |i: usize| f64::from(u8::from(p <= stream.uniform(key.position + i as u64, 0)));
    let mask: Vec<f64> = (0..batch).map(keep).collect();
    let mask = Tensor::from_vec(mask, (batch, 1), &Device::Cpu)?;
    mask.to_dtype(labels.dtype())?.to_device(labels.device())
}

/// The parameters `[B, A]` of the augmentation.
pub(crate) fn augment(cond: &Conditioning, sizes: &Sizes, x: &Tensor) -> Result<Option<Tensor>> {
    let Some(augment) = &cond.augment else { return Ok(None) };
    let expected = [x.dim(0)?, sizes.augment_dim];
    if sizes.augment_dim == 0 {
        bail!("augmentation parameters given to a network that takes none (augment_dim = 0)");
    }
    if augment.dims() != expected {
        bail!("augmentation parameters are {:?}, expected {expected:?}", augment.shape());
    }
    augment.to_dtype(x.dtype()).map(Some)
}

/// Checks that `x` and `noise` fit the network.
pub(crate) fn check_input(x: &Tensor, noise: &Tensor, sizes: &Sizes) -> Result<()> {
    let (batch, channels, height, width) = x.dims4()?;
    if [channels, height, width] != [sizes.in_channels, sizes.resolution, sizes.resolution] {
        bail!(
            "images are {:?}, this network takes [B, {}, {r}, {r}]",
            x.shape(),
            sizes.in_channels,
            r = sizes.resolution
        );
    }
    if noise.dims() != [batch] {
        bail!("noise levels are {:?}, expected [{batch}]", noise.shape());
    }
    Ok(())
}
