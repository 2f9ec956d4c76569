//! The limit on the kernels, in a separate test program because it applies to the whole process.

use candle_core::{Device, Tensor};
use uni_instruct_kernels::noise::NoiseStream;
use uni_instruct_kernels::runtime::{Kernels, kernels, limit_kernels};

/// The largest difference.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn every_limit_agrees_with_candle_and_off_equals_it() {
    let normal = |stream, shape: &[usize]| {
        NoiseStream::new(3, stream).normal_tensor(0, shape, &Device::Cpu).unwrap()
    };
    // A shape for which every kernel sums in another order than candle.
    let (x, weight) = (normal(0, &[4, 32, 16, 16]), normal(1, &[32, 32, 3, 3]));
    let expected = x.conv2d(&weight, 1, 1, 1, 1).unwrap();
    for name in ["best", "avx2", "portable", "off"] {
        limit_kernels(name.parse().unwrap());
        let got = uni_instruct_kernels::conv2d(&x, &weight, None).unwrap();
        let difference = difference(&got, &expected);
        assert!(difference < 1e-3, "{name}: {difference}");
        if kernels() == Kernels::Off {
            assert_eq!(difference, 0.0, "off is not candle's own");
        }
        #[cfg(target_arch = "x86_64")]
        if kernels() == Kernels::Best && is_x86_feature_detected!("avx2") {
            assert_ne!(difference, 0.0, "no kernel of ours ran");
        }
    }
    let message = "fast".parse::<Kernels>().unwrap_err();
    assert!(message.contains("`fast`") && message.contains("portable"), "{message}");
}
