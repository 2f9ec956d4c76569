//! Class labels as networks read them.

use candle_core::{Device, Result, Tensor, bail};

/// Classes as one-hot rows `[B, K]` in f32, with `K` = `label_dim`.
///
/// # Errors
///
/// If a class is not below `K`, or the device cannot hold the rows.
pub fn one_hot(classes: &[u32], label_dim: usize, device: &Device) -> Result<Tensor> {
    let mut rows = vec![0f32; classes.len() * label_dim];
    for (row, &class) in classes.iter().enumerate() {
        let column = class as usize;
        if label_dim <= column {
            bail!("class {class}: there are {label_dim} classes, counted from 0");
        }
        rows[row * label_dim + column] = 1.0;
    }
    Tensor::from_vec(rows, (classes.len(), label_dim), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_rows() {
        let rows = one_hot(&[2, 0], 3, &Device::Cpu).unwrap();
        assert_eq!(rows.to_vec2::<f32>().unwrap(), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
        assert_eq!(one_hot(&[], 3, &Device::Cpu).unwrap().dims(), [0, 3]);
    }

    #[test]
    fn rejects_classes_out_of_range() {
        for (class, classes) in [(3, 3), (0, 0), (u32::MAX, 10)] {
            let error = one_hot(&[class], classes, &Device::Cpu).unwrap_err().to_string();
            assert!(error.contains(&format!("there are {classes} classes")), "{error}");
        }
    }
}
