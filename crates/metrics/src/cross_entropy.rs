//! Loss of a classifier, for training feature networks.

use candle_core::{D, DType, Result, Tensor, bail};

/// Computes `−ln softmax(logits)[label]` of each image.
///
/// ```text
/// L = ln Σ_c exp(z_c − m) − (z_label − m),  m = sg[max_c z_c],    ∂L/∂z = softmax(z) − onehot
/// ```
///
/// Every exponential is at most 1 and one of them is 1, so the loss is finite and its gradient
/// exact for all finite logits.
///
/// # Shapes
///
/// - `logits`: `[B, K]`; `labels`: `[B]`, integers below K
/// - returns: `[B]`, in nats
///
/// # Errors
///
/// If the shapes do not agree or a label is not below K.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let (images, classes) = logits.dims2()?;
    if labels.dims() != [images] {
        bail!("cross_entropy: labels {:?} for {images} images", labels.dims());
    }
    let labels = labels.to_dtype(DType::U32)?;
    if let Some(label) = labels.to_vec1::<u32>()?.into_iter().find(|&i| classes <= i as usize) {
        bail!("cross_entropy: label {label}, but there are {classes} classes");
    }
    let largest = logits.max_keepdim(D::Minus1)?.detach();
    let shifted = logits.broadcast_sub(&largest)?;
    let own = shifted.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?;
    shifted.exp()?.sum(D::Minus1)?.log()? - own
}
