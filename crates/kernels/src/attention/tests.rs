//! The kernels against the composed form.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::testing::{assert_agrees, assert_thread_invariant, error, normal, run, views};

const TOLERANCE: f64 = 1e-5;

/// Batch, heads, channels of a head, height, width.
#[track_caller]
fn check(isa: Isa, sizes: [usize; 5]) {
    let [batch, heads, channels, height, width] = sizes;
    let qkv = normal(1, &[batch, 3 * heads * channels, height, width]);
    let what = format!("{sizes:?} {isa:?}");
    assert_agrees(
        &what,
        TOLERANCE,
        &[qkv],
        |it| fused(isa, &it[0], heads),
        |it| composed(&it[0], heads),
    );
}

#[test]
fn kernels_agree_with_the_composed_form_in_f64() {
    let sizes =
        [[1, 1, 4, 2, 2], [2, 1, 64, 16, 16], [3, 2, 8, 5, 7], [1, 4, 3, 1, 9], [1, 1, 1, 6, 6]];
    for sizes in sizes {
        Isa::all().into_iter().for_each(|isa| check(isa, sizes));
    }
}

#[test]
fn the_composed_form_in_f32_agrees_with_itself_in_f64() {
    let form = |it: &[Tensor]| composed(&it[0], 2);
    assert_agrees("composed", TOLERANCE, &[normal(1, &[2, 24, 5, 3])], form, form);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_shapes_agree(
        batch in 1usize..4, heads in 1usize..4, channels in 1usize..9,
        height in 1usize..8, width in 2usize..8,
    ) {
        check(Isa::detect(), [batch, heads, channels, height, width]);
    }
}

#[test]
fn a_pixel_alone_attends_to_itself() {
    // Channels 0 and 3 are the queries, 1 and 4 the keys, 2 and 5 the values.
    let qkv = Tensor::new(&[1f32, 2., 3., 4., 5., 6.], &Device::Cpu).unwrap();
    let y = attention(&qkv.reshape((1, 6, 1, 1)).unwrap(), 1).unwrap();
    assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3., 6.]);
}

#[test]
fn evaluation_matches_and_keeps_nothing() {
    let qkv = normal(1, &[2, 24, 5, 3]);
    let (tracked, _) = run(DType::F32, std::slice::from_ref(&qkv), |it| attention(&it[0], 2));
    let y = attention(&qkv, 2).unwrap();
    assert!(!y.track_op());
    assert_eq!(error(&y, &tracked), 0.0);
}

#[test]
fn views_give_the_same_as_copies() {
    let qkv = normal(1, &[3, 12, 5, 9]);
    let expected = attention(&qkv, 2).unwrap();
    for view in views(&qkv) {
        assert_eq!(error(&attention(&view, 2).unwrap(), &expected), 0.0);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    assert_thread_invariant(&[normal(1, &[3, 24, 5, 9])], |it| attention(&it[0], 2));
}

#[test]
fn extreme_logits_match_the_composed_form() {
    // Products of 1e10 in the logits, and a logit of minus infinity, whose weight is 0.
    let large = (normal(1, &[1, 6, 3, 3]) * 1e5).unwrap();
    let got = attention(&large, 1).unwrap();
    assert!(error(&got, &composed(&large, 1).unwrap()) < 1e-6);

    let mut numbers = vec![1f32; 12];
    (numbers[2], numbers[4], numbers[5]) = (f32::NEG_INFINITY, 5.0, 7.0);
    let qkv = Tensor::from_vec(numbers, (1, 6, 1, 2), &Device::Cpu).unwrap();
    let y = attention(&qkv, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(y[..2], [7.0, 7.0]);
}

#[test]
fn nan_spreads_over_its_head() {
    let mut numbers = normal(1, &[1, 12, 3, 3]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    numbers[3] = f32::NAN;
    let qkv = Tensor::from_vec(numbers, (1, 12, 3, 3), &Device::Cpu).unwrap();
    for isa in Isa::all() {
        let y = fused(isa, &qkv, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // The NaN is in the query of pixel 3 of the first head.
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), i < 18 && i % 9 == 3, "{i}: {y}");
        }
    }
}

#[test]
fn accepts_an_empty_batch() {
    assert_eq!(attention(&normal(1, &[0, 12, 3, 3]), 2).unwrap().dims(), [0, 4, 3, 3]);
}

#[test]
fn rejects_invalid_shapes() {
    for (channels, heads) in [(12, 3), (12, 0), (10, 1)] {
        let message = attention(&normal(1, &[1, channels, 3, 3]), heads).unwrap_err().to_string();
        assert!(message.contains("query, key and value"), "{message}");
    }
}
