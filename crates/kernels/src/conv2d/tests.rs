//! Comparison of the kernels with the composed form.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    assert_agrees, assert_frozen_arguments_get_no_gradient, assert_thread_invariant, error, normal,
    run, views,
};

const TOLERANCE: f64 = 1e-5;

/// Batch, inputs, outputs, height, width, kernel.
type Sizes = [usize; 6];

/// Shapes that together reach every path: direct and Winograd, forward and both gradients; full and
/// partial blocks of channels, vectors of pixels, tiles and tasks.
#[rustfmt::skip]
const SIZES: [Sizes; 40] = [
    // direct
    [1,  1,  1,  1,  1, 1], [1,  1,  1,  1,  1, 3], [2,  1,  5,  3,  4, 3], [3,  3, 32,  9, 12, 3],
    [1, 17,  6,  7, 18, 3], [2, 20,  3,  4, 24, 3], [1,  5,  7, 13,  1, 3], [9,  4,  4,  4,  4, 3],
    [2, 33,  4,  5, 31, 3], [3,  7, 10,  5,  5, 1], [2, 40,  9,  8,  8, 1], [1,  3,  2, 16, 16, 1],
    // Winograd
    [2, 16, 16,  8,  8, 3], [3, 19, 17,  6, 16, 3], [1, 16, 33, 32, 32, 3], [5, 32, 16,  2, 24, 3],
    [7, 16, 64,  8,  8, 3], [9, 24, 16,  4,  4, 3], [3, 16, 17, 10, 12, 3], [5, 20, 40, 2, 4, 3],
    [4, 16, 16, 16, 20, 3], [5, 16, 17, 32,  8, 3], [4, 20, 16, 16, 16, 3], [17, 17, 24, 8, 8, 3],
    [66, 16, 16, 4, 4, 3],
    // Winograd in tiles that extend beyond the image, or end at its edge
    [2, 16, 19, 35, 35, 3], [17, 17, 16, 7, 7, 3], [66, 16, 24, 2, 2, 3], [64, 16, 16, 1, 3, 3],
    [3, 18, 33, 17, 31, 3], [16, 16, 16, 5, 8, 3], [4, 16, 16, 14, 14, 3],
    // with many channels
    [2, 100, 97, 8, 12, 3], [1, 96, 128, 4,  4, 3], [9, 97, 96, 2, 4, 3], [1, 96, 96, 64, 64, 3],
    [345, 96, 97, 2, 4, 3],
    // a matrix product; Winograd with the direct gradient with respect to the weight
    [2, 128, 130, 3, 3, 1], [2, 70, 70, 8, 8, 3],
    // a size without a vector kernel
    [2,  3,  4,  6,  9, 5],
];

fn operands([batch, inputs, outputs, height, width, kernel]: Sizes) -> [Tensor; 3] {
    [
        normal(1, &[batch, inputs, height, width]),
        normal(2, &[outputs, inputs, kernel, kernel]),
        normal(3, &[outputs]),
    ]
}

#[track_caller]
fn check(isa: Isa, sizes: Sizes) {
    let args = operands(sizes);
    let what = format!("{sizes:?} {isa:?}");
    let (with_bias, without) = (&args[..], &args[..2]);
    assert_agrees(
        &what,
        TOLERANCE,
        with_bias,
        |args| fused(isa, &args[0], &args[1], Some(&args[2])),
        |args| composed(&args[0], &args[1], Some(&args[2])),
    );
    assert_agrees(
        &what,
        TOLERANCE,
        without,
        |args| fused(isa, &args[0], &args[1], None),
        |args| composed(&args[0], &args[1], None),
    );
}

#[test]
fn kernels_agree_with_the_composed_form_in_f64() {
    for isa in Isa::all() {
        SIZES.iter().for_each(|sizes| check(isa, *sizes));
    }
}

#[test]
fn composed_form_in_f32_agrees_with_f64() {
    let args = operands([3, 19, 17, 6, 16, 3]);
    let form = |args: &[Tensor]| composed(&args[0], &args[1], Some(&args[2]));
    assert_agrees("composed", TOLERANCE, &args, form, form);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn kernels_agree_for_random_shapes(
        batch in 1usize..4, inputs in 1usize..24, outputs in 1usize..24,
        height in 1usize..20, width in 1usize..20, half in 0usize..2,
    ) {
        for isa in Isa::all() {
            check(isa, [batch, inputs, outputs, height, width, 2 * half + 1]);
        }
    }
}

#[test]
fn views_and_copies_give_equal_results() {
    for sizes in [[3, 19, 17, 6, 16, 3], [2, 5, 6, 7, 9, 3], [2, 5, 6, 4, 8, 1]] {
        let [x, weight, bias] = operands(sizes);
        let expected = conv2d(&x, &weight, Some(&bias)).unwrap();
        let weight_view = weight.t().unwrap().contiguous().unwrap().t().unwrap();
        for view in views(&x) {
            let got = conv2d(&view, &weight_view, Some(&bias)).unwrap();
            assert_eq!(error(&got, &expected), 0.0);
        }
    }
}

#[test]
fn accepts_gradient_that_is_a_view() {
    let [x, weight, _] = operands([2, 5, 6, 7, 9, 3]);
    let transposed = |args: &[Tensor]| conv2d(&args[0], &args[1], None)?.transpose(2, 3);
    assert_agrees("transposed", TOLERANCE, &[x, weight], transposed, |args| {
        composed(&args[0], &args[1], None)?.transpose(2, 3)
    });
}

#[test]
fn results_do_not_depend_on_thread_count() {
    for sizes in [[5, 32, 33, 8, 8, 3], [5, 6, 7, 9, 11, 3], [5, 40, 9, 8, 8, 1]] {
        for isa in Isa::all() {
            assert_thread_invariant(&operands(sizes), |args| {
                fused(isa, &args[0], &args[1], Some(&args[2]))
            });
        }
    }
}

#[test]
fn frozen_operands_have_no_gradient() {
    for sizes in [[2, 16, 16, 8, 8, 3], [2, 3, 5, 4, 4, 1]] {
        assert_frozen_arguments_get_no_gradient(&operands(sizes), |args| {
            conv2d(&args[0], &args[1], Some(&args[2]))
        });
    }
}

#[test]
fn nan_reaches_every_output_that_reads_it() {
    for isa in Isa::all() {
        for sizes in [[1, 16, 16, 16, 16, 3], [1, 2, 3, 16, 16, 3], [1, 2, 3, 16, 16, 1]] {
            let [x, weight, _] = operands(sizes);
            let mut elements = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            elements[16 * 5 + 5] = f32::NAN;
            let x = Tensor::from_vec(elements, x.shape(), &Device::Cpu).unwrap();
            let y = fused(isa, &x, &weight, None).unwrap();
            let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for channel in y.chunks(16 * 16) {
                assert!(channel[16 * 5 + 5].is_nan());
                assert!(channel[16 * 12 + 12].is_finite());
            }
        }
    }
}

#[test]
fn empty_batch_gives_empty_output() {
    for sizes in [[0, 16, 16, 8, 8, 3], [0, 2, 3, 5, 5, 1]] {
        for isa in Isa::all() {
            let [x, weight, bias] = operands(sizes);
            let (y, grads) = run(DType::F32, &[x, weight, bias], |args| {
                fused(isa, &args[0], &args[1], Some(&args[2]))
            });
            assert_eq!(y.dims(), [0, sizes[2], sizes[3], sizes[4]]);
            assert_eq!(error(&grads[1], &grads[1].zeros_like().unwrap()), 0.0);
        }
    }
}

#[test]
fn padded_form_agrees_with_candle() {
    let [x, weight, _] = operands([2, 5, 6, 7, 9, 3]);
    assert_agrees(
        "padded",
        TOLERANCE,
        &[x.clone(), weight.clone()],
        |args| conv2d_padded(&args[0], &args[1], 2),
        |args| args[0].conv2d(&args[1], 2, 1, 1, 1),
    );
    let message = conv2d_padded(&x, &weight, 0).unwrap_err().to_string();
    assert!(message.contains("padding 0"), "{message}");
}

#[test]
fn rejects_mismatched_shapes() {
    let x = normal(1, &[2, 3, 8, 8]);
    #[rustfmt::skip]
    let table: [(&[usize], &[usize], &str); 4] = [
        (&[4, 2, 3, 3], &[4], "weight"),
        (&[4, 3, 3, 1], &[4], "weight"),
        (&[4, 3, 2, 2], &[4], "weight"),
        (&[4, 3, 3, 3], &[3], "bias"),
    ];
    for (weight, bias, culprit) in table {
        let error = conv2d(&x, &normal(2, weight), Some(&normal(3, bias))).unwrap_err();
        assert!(error.to_string().contains(&format!("conv2d: {culprit}")), "{error}");
    }
    assert!(conv2d(&normal(1, &[2, 3, 0, 8]), &normal(2, &[4, 3, 3, 3]), None).is_err());
}
