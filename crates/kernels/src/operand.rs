//! Checks of operands, which every operation makes first. Without them, candle would panic on
//! integers, and its other errors would name neither the operation nor the operand.

use candle_core::{DType, Result, Tensor, bail};

/// Checks that all operands of `op` have the same floating-point type and device.
///
/// # Errors
///
/// If one differs. The error names it.
pub(super) fn check_kind(op: &str, operands: &[(&str, &Tensor)]) -> Result<()> {
    let Some(((first_name, first), others)) = operands.split_first() else { return Ok(()) };
    let dtype = first.dtype();
    if !matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
        bail!("{op}: {first_name} is {dtype:?}; convert it to F32");
    }
    for (name, operand) in others {
        if operand.dtype() != dtype {
            let other = operand.dtype();
            bail!("{op}: {name} is {other:?}, but {first_name} is {dtype:?}; convert one of them");
        }
        if !operand.device().same_device(first.device()) {
            bail!("{op}: {name} and {first_name} are on different devices; move one of them");
        }
    }
    Ok(())
}

/// Batch, channels, height and width of an image operand.
///
/// # Errors
///
/// If it does not have four dimensions.
pub(super) fn image(op: &str, name: &str, x: &Tensor) -> Result<[usize; 4]> {
    match x.dims() {
        &[batch, channels, height, width] => Ok([batch, channels, height, width]),
        dims => bail!("{op}: {name} {dims:?} is not a batch of images [B, C, H, W]"),
    }
}

/// True if two tensors share memory, so that writing to one changes the other.
pub(super) fn share_memory(a: &Tensor, b: &Tensor) -> bool {
    // One lock after the other: two at once could deadlock if they are the same lock.
    let [a, b] = [a, b].map(|it| std::ptr::from_ref(&*it.storage_and_layout().0));
    std::ptr::eq(a, b)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn zeros(dtype: DType) -> Tensor {
        Tensor::zeros(3, dtype, &Device::Cpu).unwrap()
    }

    #[test]
    fn requires_one_floating_point_type() {
        // The first line only: a backtrace may follow.
        let message = |operands: &[(&str, &Tensor)]| {
            let text = check_kind("op", operands).unwrap_err().to_string();
            text.lines().next().unwrap_or_default().to_owned()
        };
        let (single, double) = (zeros(DType::F32), zeros(DType::F64));
        check_kind("op", &[("a", &single), ("b", &single)]).unwrap();
        check_kind("op", &[("a", &double)]).unwrap();
        let text = message(&[("a", &single), ("b", &double)]);
        assert_eq!(text, "op: b is F64, but a is F32; convert one of them");
        let text = message(&[("a", &zeros(DType::U32))]);
        assert_eq!(text, "op: a is U32; convert it to F32");
    }

    #[test]
    fn views_share_memory_and_copies_do_not() {
        let x = zeros(DType::F32);
        assert!(share_memory(&x, &x) && share_memory(&x, &x.narrow(0, 1, 2).unwrap()));
        assert!(!share_memory(&x, &x.copy().unwrap()));
    }
}
