//! The kernels against the composed form.

use candle_core::{DType, Device};

use super::*;
use crate::ops::testing::{error, normal};

/// Batch, channels, outputs, height, width, and the window.
fn cases() -> Vec<([usize; 5], Window)> {
    vec![
        ([2, 3, 5, 9, 11], Window::valid(3, 2)),
        ([1, 4, 6, 7, 7], Window::valid(3, 1)),
        ([2, 5, 4, 6, 8], Window::same([1, 7])),
        ([2, 5, 4, 8, 6], Window::same([7, 1])),
        ([1, 6, 3, 5, 5], Window::same([5, 5])),
        ([3, 16, 20, 35, 35], Window::same([3, 3])),
        ([2, 8, 9, 17, 17], Window::same([1, 1])),
        ([1, 2, 2, 3, 4], Window { size: [2, 3], stride: 3, padding: [1, 2] }),
    ]
}

#[test]
fn convolutions_agree_with_the_composed_form_in_f64() {
    for ([batch, channels, outputs, height, width], window) in cases() {
        let x = normal(1, &[batch, channels, height, width]);
        let weight = normal(2, &[outputs, channels, window.size[0], window.size[1]]);
        let bias = normal(3, &[outputs]);
        let found = conv2d_relu(&x, &weight, &bias, window).unwrap();
        let [x, weight, bias] = [x, weight, bias].map(|it| it.to_dtype(DType::F64).unwrap());
        let expected = composed_conv2d_relu(&x, &weight, &bias, window).unwrap();
        let error = error(&found, &expected);
        assert!(error < 1e-5, "{window:?}: {error:.1e}");
    }
}

#[test]
fn pools_agree_with_the_composed_form_in_f64() {
    for ([batch, channels, _, height, width], window) in cases() {
        let x = (normal(1, &[batch, channels, height, width]) - 3.0).unwrap();
        let wide = x.to_dtype(DType::F64).unwrap();
        for (what, found, pool) in [
            ("max", max_pool(&x, window), Pool::Max),
            ("average", average_pool(&x, window), Pool::Average),
        ] {
            let error = error(&found.unwrap(), &composed_pool(&wide, window, pool).unwrap());
            assert!(error < 1e-6, "{what}, {window:?}: {error:.1e}");
        }
    }
}

#[test]
fn the_edge_neither_wins_nor_counts() {
    let x = Tensor::new(&[[[[-1f32, -2.0], [-3.0, -6.0]]]], &Device::Cpu).unwrap();
    let window = Window::same([3, 3]);
    let numbers = |it: Tensor| it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(numbers(max_pool(&x, window).unwrap()), [-1.0; 4]);
    assert_eq!(numbers(average_pool(&x, window).unwrap()), [-3.0; 4]);
}

#[test]
fn not_a_number_stays_one() {
    let x = Tensor::new(&[[[[1f32, f32::NAN], [0.0, 0.0]]]], &Device::Cpu).unwrap();
    let window = Window::same([3, 3]);
    let one = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu).unwrap();
    let bias = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    for y in [
        max_pool(&x, window).unwrap(),
        average_pool(&x, window).unwrap(),
        conv2d_relu(&x, &one, &bias, window).unwrap(),
    ] {
        let numbers = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(numbers.iter().all(|it| it.is_nan()), "{numbers:?}");
    }
}

#[test]
fn windows_that_do_not_fit_are_errors() {
    let x = normal(1, &[1, 2, 4, 4]);
    for window in [
        Window::valid(5, 1),
        Window::valid(3, 0),
        Window { size: [2, 2], stride: 1, padding: [2, 0] },
    ] {
        assert!(max_pool(&x, window).is_err(), "{window:?}");
    }
    let (weight, bias) = (normal(2, &[3, 1, 3, 3]), normal(3, &[3]));
    let error = conv2d_relu(&x, &weight, &bias, Window::valid(3, 1)).unwrap_err().to_string();
    assert!(error.contains("weight"), "{error}");
}
