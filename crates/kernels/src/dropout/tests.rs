//! The kernel compared with the composed form, and both with the definition.

use candle_core::{Device, Tensor};

use super::*;
use crate::testing::{assert_agrees, assert_thread_invariant, error, normal, views};

const KEY: DropoutKey = DropoutKey { seed: 5, position: (1 << 33) + 1 };

#[test]
fn kernel_agrees_with_the_composed_form() {
    let stream = NoiseStream::new(5, 3);
    for shape in [&[3, 2, 5, 7][..], &[1, 1, 1, 1], &[2, 129], &[1, 16, 33, 33]] {
        for isa in Isa::all() {
            assert_agrees(
                "dropout",
                1e-6,
                &[normal(1, shape)],
                |it| fused(isa, &it[0], 0.3, stream, KEY.position),
                |it| composed(&it[0], 0.3, stream, KEY.position),
            );
        }
    }
}

#[test]
fn drops_elements_whose_uniform_number_is_below_p() {
    let x = Tensor::ones((2, 1, 3, 5), DType::F32, &Device::Cpu).unwrap();
    let got = dropout(&x, 0.25, KEY, 9).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let stream = NoiseStream::new(KEY.seed, DROPOUT_STREAM_BASE + 9);
    for (i, got) in got.iter().enumerate() {
        let (sample, element) = (i as u64 / 15, i as u32 % 15);
        let word = stream.words(KEY.position + sample, element / 4)[element as usize % 4];
        let uniform = (f64::from(word >> 8) + 0.5) / f64::from(1 << 24);
        assert_eq!(*got, if uniform < 0.25 { 0.0 } else { 4.0 / 3.0 });
    }
}

#[test]
fn dropped_share_and_mean_are_right() {
    let x = Tensor::ones((64, 1024), DType::F32, &Device::Cpu).unwrap();
    let y = dropout(&x, 0.13, KEY, 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let dropped = y.iter().filter(|it| **it == 0.0).count() as f64 / y.len() as f64;
    // Five standard deviations of a share of 65,536.
    assert!((dropped - 0.13).abs() < 5.0 * (0.13 * 0.87 / y.len() as f64).sqrt(), "{dropped}");
    let mean = y.iter().map(|it| f64::from(*it)).sum::<f64>() / y.len() as f64;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
}

#[test]
fn a_batch_may_be_split_and_layers_differ() {
    let x = normal(1, &[4, 2, 3, 3]);
    let whole = dropout(&x, 0.5, KEY, 1).unwrap();
    let tail = x.narrow(0, 1, 3).unwrap();
    let later = DropoutKey { position: KEY.position + 1, ..KEY };
    let part = dropout(&tail, 0.5, later, 1).unwrap();
    assert_eq!(error(&part, &whole.narrow(0, 1, 3).unwrap()), 0.0);
    assert!(0.1 < error(&dropout(&x, 0.5, KEY, 2).unwrap(), &whole));
}

#[test]
fn no_dropout_is_the_identity_and_f64_works() {
    let x = normal(1, &[2, 3, 4, 4]);
    assert_eq!(error(&dropout(&x, 0.0, KEY, 0).unwrap(), &x), 0.0);
    let y = dropout(&x.to_dtype(DType::F64).unwrap(), 0.4, KEY, 0).unwrap();
    assert!(error(&dropout(&x, 0.4, KEY, 0).unwrap(), &y) < 1e-6);
}

#[test]
fn views_give_the_same_as_copies() {
    let x = normal(1, &[2, 3, 4, 5]);
    let expected = dropout(&x, 0.4, KEY, 0).unwrap();
    for view in views(&x) {
        assert_eq!(error(&dropout(&view, 0.4, KEY, 0).unwrap(), &expected), 0.0);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    assert_thread_invariant(&[normal(1, &[3, 5, 9, 11])], |it| dropout(&it[0], 0.4, KEY, 0));
}

#[test]
fn propagates_nan_and_rejects_invalid_arguments() {
    let x = Tensor::full(f32::NAN, (1, 64), &Device::Cpu).unwrap();
    let y = dropout(&x, 0.5, KEY, 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(y.iter().all(|it| it.is_nan()));
    for p in [-0.1, 1.0, f64::NAN] {
        assert!(dropout(&x, p, KEY, 0).is_err());
    }
    assert!(dropout(&x, 0.5, KEY, u32::MAX).is_err());
    assert_eq!(dropout(&normal(1, &[0, 4]), 0.5, KEY, 0).unwrap().dims(), [0, 4]);
}
