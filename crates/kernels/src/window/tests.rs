//! The kernels compared with the composed form.

use candle_core::{DType, Device};
use proptest::prelude::*;

use super::*;
use crate::isa::Isa;
use crate::testing::{error, normal};

/// Batch, channels, outputs, height, width, and the window. Together they cover every
/// implementation, with whole and partial vectors, tiles, blocks of outputs and rounds of sums.
fn cases() -> Vec<([usize; 5], Window)> {
    let wide = Window { size: [2, 3], stride: 3, padding: [1, 2] };
    vec![
        // strides
        ([2, 3, 5, 9, 11], Window::valid(3, 2)),
        ([3, 5, 9, 8, 12], Window::valid(3, 2)),
        ([2, 3, 6, 10, 13], Window { size: [5, 5], stride: 2, padding: [2, 1] }),
        ([1, 2, 2, 3, 4], wide),
        ([2, 4, 7, 23, 58], wide),
        ([1, 3, 4, 9, 9], Window { size: [1, 1], stride: 2, padding: [0, 0] }),
        // rows, columns, squares
        ([2, 5, 4, 6, 8], Window::same([1, 7])),
        ([2, 5, 4, 8, 6], Window::same([7, 1])),
        ([3, 31, 17, 17, 17], Window::same([1, 7])),
        ([3, 31, 16, 17, 17], Window::same([7, 1])),
        ([1, 6, 3, 5, 5], Window::same([5, 5])),
        ([2, 9, 10, 35, 35], Window::same([5, 5])),
        ([1, 4, 6, 7, 7], Window::valid(3, 1)),
        ([1, 1, 1, 1, 1], Window::same([3, 3])),
        // matrix products
        ([2, 8, 9, 17, 17], Window::same([1, 1])),
        ([5, 200, 33, 8, 8], Window::same([1, 1])),
        ([1, 400, 8, 3, 1], Window::same([1, 1])),
        // tiles of 4 by 4
        ([3, 16, 20, 35, 35], Window::same([3, 3])),
        ([2, 17, 16, 9, 71], Window::valid(3, 1)),
        ([1, 16, 16, 3, 3], Window::valid(3, 1)),
        ([9, 16, 17, 6, 5], Window::same([3, 3])),
        ([1, 18, 16, 16, 32], Window::same([3, 3])),
        ([2, 16, 19, 21, 30], Window::valid(3, 1)),
    ]
}

fn check(isa: Isa, [batch, channels, outputs, height, width]: [usize; 5], window: Window) {
    let x = normal(1, &[batch, channels, height, width]);
    let weight = normal(2, &[outputs, channels, window.size[0], window.size[1]]);
    let bias = normal(3, &[outputs]);
    let layer = ConvRelu::with(isa, &weight, &bias, window).unwrap();
    let found = layer.forward(&x).unwrap();
    let [x, weight, bias] = [x, weight, bias].map(|it| it.to_dtype(DType::F64).unwrap());
    let expected = composed::conv2d_relu(&x, &weight, &bias, window).unwrap();
    let error = error(&found, &expected);
    assert!(error < 1e-5, "{isa:?}, {:?}, {window:?}: {error:.1e}", x.shape());
    // The same in f64, which has no kernel.
    let composed = ConvRelu::with(isa, &weight, &bias, window).unwrap().forward(&x).unwrap();
    assert_eq!(crate::testing::error(&composed, &expected), 0.0);
}

fn pools(isa: Isa, x: &Tensor, window: Window) -> [Tensor; 2] {
    [Pool::Max, Pool::Average].map(|pool| {
        let mut joined = Joined::new(x.dim(1).unwrap());
        joined.pool(isa, x, window, pool).unwrap();
        joined.finish().unwrap()
    })
}

fn check_pools(isa: Isa, [batch, channels, _, height, width]: [usize; 5], window: Window) {
    let x = (normal(1, &[batch, channels, height, width]) - 3.0).unwrap();
    let wide = x.to_dtype(DType::F64).unwrap();
    for (found, pool) in pools(isa, &x, window).iter().zip([Pool::Max, Pool::Average]) {
        let error = error(found, &composed::pool(&wide, window, pool).unwrap());
        assert!(error < 1e-6, "{isa:?}, {window:?}: {error:.1e}");
    }
}

#[test]
fn convolutions_agree_with_the_composed_form_in_f64() {
    for isa in Isa::all() {
        cases().into_iter().for_each(|(sizes, window)| check(isa, sizes, window));
    }
}

#[test]
fn pools_agree_with_the_composed_form_in_f64() {
    for isa in Isa::all() {
        cases().into_iter().for_each(|(sizes, window)| check_pools(isa, sizes, window));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_windows_agree(
        batch in 1usize..4, channels in 1usize..20, outputs in 1usize..20,
        height in 1usize..24, width in 1usize..24,
        size in [1usize..6, 1usize..6], stride in 1usize..4, padding in [0usize..3, 0usize..3],
    ) {
        let window = Window { size, stride, padding };
        prop_assume!(window.places("test", [height, width]).is_ok());
        for isa in Isa::all() {
            check(isa, [batch, channels, outputs, height, width], window);
            check_pools(isa, [batch, channels, outputs, height, width], window);
        }
    }
}

#[test]
fn joins_channels_in_order_of_writing() {
    let (x, weight, bias) = (normal(1, &[3, 4, 9, 9]), normal(2, &[5, 4, 3, 3]), normal(3, &[5]));
    let layer = ConvRelu::new(&weight, &bias, Window::valid(3, 2)).unwrap();
    let mut joined = Joined::new(5 + 4 + 5);
    joined.convolve(&layer, &x).unwrap();
    joined.max_pool(&x, Window::valid(3, 2)).unwrap();
    joined.convolve(&layer, &x).unwrap();
    let y = layer.forward(&x).unwrap();
    let mut pooled = Joined::new(4);
    pooled.max_pool(&x, Window::valid(3, 2)).unwrap();
    let expected = Tensor::cat(&[&y, &pooled.finish().unwrap(), &y], 1).unwrap();
    assert_eq!(error(&joined.finish().unwrap(), &expected), 0.0);
}

#[test]
fn rejects_channels_that_do_not_fit() {
    let x = normal(1, &[2, 3, 6, 6]);
    let whole = Window::valid(1, 1);
    let mut joined = Joined::new(5);
    joined.max_pool(&x, whole).unwrap();
    let narrower = joined.max_pool(&x, Window::valid(2, 1)).unwrap_err().to_string();
    assert!(narrower.contains("[5, 5]"), "{narrower}");
    assert!(joined.max_pool(&x.narrow(0, 0, 1).unwrap(), whole).is_err());
    let more = joined.max_pool(&x, whole).unwrap_err().to_string();
    assert!(more.contains("3 channels after 3"), "{more}");
    let missing = joined.finish().unwrap_err().to_string();
    assert!(missing.contains("3 of 5"), "{missing}");
}

#[test]
fn accepts_an_empty_batch() {
    let (weight, bias) = (normal(2, &[16, 16, 3, 3]), normal(3, &[16]));
    for window in [Window::same([3, 3]), Window::valid(3, 2)] {
        for isa in Isa::all() {
            let layer = ConvRelu::with(isa, &weight, &bias, window).unwrap();
            let y = layer.forward(&normal(1, &[0, 16, 9, 9])).unwrap();
            assert_eq!(y.dims()[..2], [0, 16]);
        }
    }
}

#[test]
fn pools_ignore_pixels_beyond_the_edge() {
    let x = Tensor::new(&[[[[-1f32, -2.0], [-3.0, -6.0]]]], &Device::Cpu).unwrap();
    let numbers = |it: &Tensor| it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let [largest, mean] = pools(Isa::detect(), &x, Window::same([3, 3]));
    assert_eq!(numbers(&largest), [-1.0; 4]);
    assert_eq!(numbers(&mean), [-3.0; 4]);
}

#[test]
fn propagates_nan() {
    for isa in Isa::all() {
        for channels in [1, 16] {
            let mut x = vec![0f32; channels * 4];
            x[1] = f32::NAN;
            let x = Tensor::from_vec(x, (1, channels, 2, 2), &Device::Cpu).unwrap();
            let window = Window::same([3, 3]);
            let ones = Tensor::ones((channels, channels, 3, 3), DType::F32, &Device::Cpu).unwrap();
            let bias = Tensor::zeros(channels, DType::F32, &Device::Cpu).unwrap();
            let y = ConvRelu::with(isa, &ones, &bias, window).unwrap().forward(&x).unwrap();
            let [largest, mean] = pools(isa, &x, window);
            for (y, read) in [(y, channels), (largest, 1), (mean, 1)] {
                let numbers = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert!(numbers[..4 * read].iter().all(|it| it.is_nan()), "{numbers:?}");
            }
        }
    }
}

#[test]
fn rejects_windows_that_do_not_fit() {
    let x = normal(1, &[1, 2, 4, 4]);
    for window in [
        Window::valid(5, 1),
        Window::valid(3, 0),
        Window { size: [2, 2], stride: 1, padding: [2, 0] },
    ] {
        assert!(Joined::new(2).max_pool(&x, window).is_err(), "{window:?}");
    }
    let (weight, bias) = (normal(2, &[3, 1, 3, 3]), normal(3, &[3]));
    let layer = |window| ConvRelu::new(&weight, &bias, window);
    let error = layer(Window::valid(3, 1)).unwrap().forward(&x).unwrap_err().to_string();
    assert!(error.contains("x has 2 channels"), "{error}");
    let error = layer(Window::valid(2, 1)).unwrap_err().to_string();
    assert!(error.contains("do not match"), "{error}");
}
