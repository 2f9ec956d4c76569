//! Class labels as tensors.

use candle_core::{Device, Result, Tensor, bail};

/// One-hot rows `[B, K]` of `classes`, with `k` classes counted from 0.
///
/// # Errors
///
/// If a class is not below `k`.
///
/// ```
/// # use uni_instruct_models::labels::one_hot;
/// let rows = one_hot(&[2, 0], 3, &candle_core::Device::Cpu)?;
/// assert_eq!(rows.to_vec2::<f32>()?, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn one_hot(classes: &[u32], k: usize, device: &Device) -> Result<Tensor> {
    let mut rows = vec![0f32; classes.len() * k];
    for (i, &class) in classes.iter().enumerate() {
        if k <= class as usize {
            bail!("class {class}: there are {k} classes, counted from 0");
        }
        rows[i * k + class as usize] = 1.0;
    }
    Tensor::from_vec(rows, (classes.len(), k), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_class_out_of_range() {
        for (classes, k) in [(&[3u32][..], 3), (&[0], 0), (&[0, 7], 2)] {
            let message = one_hot(classes, k, &Device::Cpu).unwrap_err().to_string();
            assert!(message.contains("counted from 0"), "{message}");
        }
    }
}
