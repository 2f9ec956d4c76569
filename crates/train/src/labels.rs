//! Labels of samples: classes drawn at a position, classes as one-hot rows.

use candle_core::{Device, Tensor};
use kernels::noise::NoiseStream;

use crate::Error;

/// A uniform class at a position.
pub fn class_at(random: &NoiseStream, position: u64, classes: usize) -> u32 {
    random.below(position, 0, classes as u64) as u32
}

/// Classes as one-hot rows `[B, K]`.
///
/// # Errors
///
/// If a class is not below `K`.
pub fn one_hot(classes: &[u32], label_dim: usize, device: &Device) -> Result<Tensor, Error> {
    let mut rows = vec![0f32; classes.len() * label_dim];
    for (row, &class) in rows.chunks_mut(label_dim.max(1)).zip(classes) {
        let slot = row.get_mut(class as usize).ok_or_else(|| {
            let reason = format!("there are {label_dim} classes, counted from 0");
            Error::unusable(format!("class {class}"), reason)
        })?;
        *slot = 1.0;
    }
    Ok(Tensor::from_vec(rows, (classes.len(), label_dim), device)?)
}
