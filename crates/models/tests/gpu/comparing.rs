//! Random tensors, and the difference between results of two devices.

use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor};
use kernels::device::parse_device;
use kernels::noise::NoiseStream;

/// Smallest magnitude that differences are relative to.
const SMALLEST_SCALE: f64 = 0.5;

/// The device of all tests: kernels are loaded once.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| parse_device(crate::DEVICE).unwrap()).clone()
}

/// Standard normal values of this shape, on the CPU in f32.
pub fn normal(seed: u64, shape: &[usize]) -> Tensor {
    NoiseStream::new(seed, 7).normal_tensor(0, shape, &Device::Cpu).unwrap()
}

fn numbers(x: &Tensor) -> Vec<f64> {
    let x = x.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    x.flatten_all().unwrap().to_vec1::<f64>().unwrap()
}

/// The largest difference, relative to the largest magnitude of `expected`; infinite for NaN.
pub fn error(got: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let (got, expected) = (numbers(got), numbers(expected));
    let scale = expected.iter().fold(SMALLEST_SCALE, |max, it| max.max(it.abs()));
    got.iter().zip(&expected).fold(0f64, |max, (got, expected)| {
        let difference = (got - expected).abs() / scale;
        if difference.is_nan() { f64::INFINITY } else { max.max(difference) }
    })
}
