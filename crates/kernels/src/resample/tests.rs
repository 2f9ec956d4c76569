//! The kernels compared with the composed form, and the composed form with candle's convolutions.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::testing::{assert_agrees, assert_thread_invariant, error, normal, views};

const TOLERANCE: f64 = 1e-6;
const FILTERS: [Filter; 2] = [Filter::Box, Filter::Tent];

fn down(filter: Filter, height: usize, width: usize) -> Plan {
    let small = [height / 2, width / 2];
    Plan { filter, padding: filter.padding(), large: [height, width], small }
}

fn up(filter: Filter, height: usize, width: usize) -> Plan {
    let large = [2 * height, 2 * width];
    Plan { filter, padding: filter.padding(), large, small: [height, width] }
}

#[track_caller]
fn check(isa: Isa, [batch, channels, height, width]: [usize; 4]) {
    let x = [normal(1, &[batch, channels, height, width])];
    for filter in FILTERS {
        let what = format!("{filter:?} {:?} {isa:?}", x[0].shape());
        for (direction, plan) in [
            (Direction::Up, up(filter, height, width)),
            (Direction::Down, down(filter, height, width)),
        ] {
            if plan.small.contains(&0) {
                continue;
            }
            assert_agrees(
                &what,
                TOLERANCE,
                &x,
                |it| resample(&it[0], Resample { isa, direction, plan }),
                |it| composed(&it[0], direction, &plan),
            );
        }
    }
}

#[test]
fn kernels_agree_with_the_composed_form_in_f64() {
    for sizes in [[1, 1, 2, 2], [2, 3, 5, 7], [3, 4, 16, 16], [1, 2, 9, 33], [2, 1, 1, 1]] {
        Isa::all().into_iter().for_each(|isa| check(isa, sizes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_shapes_agree(
        batch in 1usize..3, channels in 1usize..4, height in 1usize..20, width in 1usize..20,
    ) {
        check(Isa::detect(), [batch, channels, height, width]);
    }
}

/// EDM's definition: depthwise convolutions with the outer product of the taps, strided to
/// downsample, transposed and times four to upsample.
#[test]
fn composed_form_is_a_depthwise_convolution() {
    let x = normal(1, &[2, 1, 6, 8]);
    for filter in FILTERS {
        let taps = Tensor::new(filter.taps(), &Device::Cpu).unwrap();
        let taps = taps.to_dtype(candle_core::DType::F32).unwrap();
        let length = filter.taps().len();
        let kernel = taps.unsqueeze(1).unwrap().broadcast_mul(&taps.unsqueeze(0).unwrap()).unwrap();
        let kernel = kernel.reshape((1, 1, length, length)).unwrap();
        let padding = (length - 1) / 2;
        let expected = x.conv2d(&kernel, padding, 2, 1, 1).unwrap();
        let got = composed(&x, Direction::Down, &down(filter, 6, 8)).unwrap();
        assert!(error(&got, &expected) < TOLERANCE);
        let four = (kernel * 4.0).unwrap();
        let expected = x.conv_transpose2d(&four, padding, 0, 2, 1).unwrap();
        let got = composed(&x, Direction::Up, &up(filter, 6, 8)).unwrap();
        assert!(error(&got, &expected) < TOLERANCE);
    }
}

#[test]
fn fused_resampling_is_a_wide_convolution_then_a_strided_one() {
    let x = normal(1, &[2, 3, 6, 8]);
    let taps = [0.125, 0.375, 0.375, 0.125];
    let kernel: Vec<f32> = taps.iter().flat_map(|a| taps.map(|b| (a * b) as f32)).collect();
    let kernel = Tensor::from_vec(kernel, (1, 1, 4, 4), &Device::Cpu).unwrap();
    let plane = |channel: usize| {
        x.narrow(1, channel, 1).unwrap().contiguous().unwrap().conv2d(&kernel, 0, 2, 1, 1).unwrap()
    };
    let expected = Tensor::cat(&[plane(0), plane(1), plane(2)], 1).unwrap();
    let got = downsample2_valid(&x, Filter::Tent).unwrap();
    assert!(error(&got, &expected) < TOLERANCE);
    let plan = Plan { filter: Filter::Tent, padding: 0, large: [6, 8], small: [2, 3] };
    let form = |it: &[Tensor]| composed(&it[0], Direction::Down, &plan);
    assert_agrees("valid", TOLERANCE, &[x], |it| downsample2_valid(&it[0], Filter::Tent), form);
}

#[test]
fn box_repeats_up_and_averages_down() {
    let x = Tensor::new(&[1f32, 2., 3., 6.], &Device::Cpu).unwrap().reshape((1, 1, 2, 2)).unwrap();
    let large = upsample2(&x, Filter::Box).unwrap();
    #[rustfmt::skip]
    assert_eq!(large.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [
        1., 1., 2., 2.,
        1., 1., 2., 2.,
        3., 3., 6., 6.,
        3., 3., 6., 6.,
    ]);
    let small = downsample2(&x, Filter::Box).unwrap();
    assert_eq!(small.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3.]);
}

#[test]
fn views_give_the_same_as_copies() {
    let x = normal(1, &[2, 3, 6, 8]);
    for filter in FILTERS {
        let expected = downsample2(&x, filter).unwrap();
        for view in views(&x) {
            assert_eq!(error(&downsample2(&view, filter).unwrap(), &expected), 0.0);
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    assert_thread_invariant(&[normal(1, &[3, 5, 9, 11])], |it| upsample2(&it[0], Filter::Tent));
    assert_thread_invariant(&[normal(1, &[3, 5, 9, 11])], |it| downsample2(&it[0], Filter::Tent));
}

#[test]
fn nan_stays_within_reach_of_the_filter() {
    let mut numbers = vec![1f32; 64];
    numbers[0] = f32::NAN;
    let x = Tensor::from_vec(numbers, (1, 1, 8, 8), &Device::Cpu).unwrap();
    for filter in FILTERS {
        let y = downsample2(&x, filter).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y[0].is_nan() && y[15].is_finite());
        let y = upsample2(&x, filter).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y[0].is_nan() && y[255].is_finite());
    }
}

#[test]
fn accepts_an_empty_batch() {
    let x = normal(1, &[0, 3, 6, 8]);
    assert_eq!(upsample2(&x, Filter::Box).unwrap().dims(), [0, 3, 12, 16]);
    assert_eq!(downsample2(&x, Filter::Tent).unwrap().dims(), [0, 3, 3, 4]);
}

#[test]
fn rejects_images_that_are_too_small() {
    assert!(downsample2(&normal(1, &[1, 1, 1, 8]), Filter::Box).is_err());
    assert!(downsample2_valid(&normal(1, &[1, 1, 8, 3]), Filter::Tent).is_err());
    assert!(upsample2(&normal(1, &[1, 1, 0, 3]), Filter::Tent).is_err());
}
