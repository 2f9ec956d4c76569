//! Shapes that several operations need.

use candle_core::{DType, Device, Result, Tensor};

/// One value per sample, `[B]`, as `[B, 1, ..., 1]` of the given rank, to broadcast over samples.
///
/// ```
/// use candle_core::{Device, Tensor};
/// let sigma = Tensor::new(&[0.5f32, 2.0], &Device::Cpu)?;
/// assert_eq!(uni_instruct_kernels::per_sample(&sigma, 4)?.dims(), [2, 1, 1, 1]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
///
/// If `values` does not have exactly one dimension, or `rank` is 0.
pub fn per_sample(values: &Tensor, rank: usize) -> Result<Tensor> {
    let mut shape = vec![1; rank];
    match (shape.first_mut(), values.dims()) {
        (Some(first), &[batch]) => *first = batch,
        _ => candle_core::bail!(
            "per_sample: {:?} cannot broadcast over samples of rank {rank}; pass a tensor [B]",
            values.shape()
        ),
    }
    values.reshape(shape)
}

/// Values of a tensor `[B]` in f64, without gradient.
///
/// # Errors
///
/// If the tensor does not have exactly one dimension, or its device fails.
pub fn to_host(values: &Tensor) -> Result<Vec<f64>> {
    // Converted on the CPU, because not every device supports f64.
    values.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1()
}

/// Values as a tensor `[B]`, of the type and on the device of another: the inverse of [`to_host`].
///
/// # Errors
///
/// If the device fails.
pub fn from_host(values: &[f64], like: &Tensor) -> Result<Tensor> {
    Tensor::new(values, &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())
}

/// Images `[B, C, H, W]` with zeros around them: `rows` above and below, `columns` left and right.
pub(crate) fn pad_pixels(x: &Tensor, [rows, columns]: [usize; 2]) -> Result<Tensor> {
    x.pad_with_zeros(2, rows, rows)?.pad_with_zeros(3, columns, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn per_sample_accepts_one_value_per_sample() {
        let values = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(per_sample(&values(&[3]), 2).unwrap().dims(), [3, 1]);
        for (dims, rank) in [(&[3usize, 1][..], 2), (&[], 2), (&[3], 0)] {
            let message = per_sample(&values(dims), rank).unwrap_err().to_string();
            assert!(message.contains("pass a tensor [B]"), "{message}");
        }
    }
}
