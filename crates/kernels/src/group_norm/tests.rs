//! The kernels compared with the composed form.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::*;
use crate::testing::{
    assert_agrees, assert_frozen_arguments_get_no_gradient, assert_thread_invariant, error, normal,
    views,
};

const TOLERANCE: f64 = 1e-5;
const EPS: f64 = 1e-5;

fn operands(batch: usize, channels: usize, height: usize, width: usize) -> Vec<Tensor> {
    let x = (normal(1, &[batch, channels, height, width]) * 3.0).unwrap();
    let x = (x + 1.5).unwrap();
    vec![x, (normal(2, &[channels]) + 1.0).unwrap(), normal(3, &[channels])]
}

fn modulated(batch: usize, channels: usize, height: usize, width: usize) -> Vec<Tensor> {
    let mut operands = operands(batch, channels, height, width);
    operands.push(normal(4, &[batch, channels]));
    operands.push(normal(5, &[batch, channels]));
    operands
}

/// Batch, channels, height, width, groups.
const SIZES: [[usize; 5]; 7] = [
    [1, 1, 2, 5, 1],
    [2, 4, 5, 7, 2],
    [3, 8, 8, 8, 8],
    [1, 12, 9, 31, 3],
    [2, 32, 16, 16, 8],
    [5, 6, 4, 4, 1],
    [2, 3, 33, 1, 3],
];

#[track_caller]
fn check(isa: Isa, [batch, channels, height, width, groups]: [usize; 5]) {
    for silu in [false, true] {
        let what = format!("{:?} silu {silu} {isa:?}", [batch, channels, height, width, groups]);
        assert_agrees(
            &what,
            TOLERANCE,
            &operands(batch, channels, height, width),
            |it| fused(isa, &it[0], &it[1], &it[2], groups, EPS, silu),
            |it| match composed(&it[0], &it[1], &it[2], groups, EPS)? {
                y if silu => y.silu(),
                y => Ok(y),
            },
        );
    }
}

#[test]
fn kernels_agree_with_the_composed_form_in_f64() {
    for sizes in SIZES {
        Isa::all().into_iter().for_each(|isa| check(isa, sizes));
    }
}

#[test]
fn the_modulated_form_agrees_with_the_composed_one_in_f64() {
    for [batch, channels, height, width, groups] in SIZES {
        assert_agrees(
            "modulated",
            TOLERANCE,
            &modulated(batch, channels, height, width),
            |it| group_norm_scale_shift_silu(&it[0], &it[1], &it[2], &it[3], &it[4], groups, EPS),
            |it| composed_modulated(&it[0], &it[1], &it[2], &it[3], &it[4], groups, EPS),
        );
    }
}

#[test]
fn the_composed_form_in_f32_agrees_with_itself_in_f64() {
    let form = |it: &[Tensor]| composed(&it[0], &it[1], &it[2], 2, EPS);
    assert_agrees("composed", TOLERANCE, &operands(2, 4, 5, 7), form, form);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_shapes_agree(
        batch in 1usize..4, groups in 1usize..4, of_group in 1usize..5,
        // A group of two or three elements has almost no gradient except for rounding.
        height in 2usize..12, width in 4usize..12,
    ) {
        check(Isa::detect(), [batch, groups * of_group, height, width, groups]);
    }
}

#[test]
fn views_give_the_same_as_copies() {
    let operands = operands(3, 6, 5, 9);
    let expected = group_norm_silu(&operands[0], &operands[1], &operands[2], 2, EPS).unwrap();
    for view in views(&operands[0]) {
        let got = group_norm_silu(&view, &operands[1], &operands[2], 2, EPS).unwrap();
        assert_eq!(error(&got, &expected), 0.0);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    assert_thread_invariant(&operands(5, 12, 7, 9), |it| {
        group_norm_silu(&it[0], &it[1], &it[2], 3, EPS)
    });
}

#[test]
fn frozen_operands_get_no_gradient() {
    assert_frozen_arguments_get_no_gradient(&operands(2, 4, 6, 6), |it| {
        group_norm(&it[0], &it[1], &it[2], 2, EPS)
    });
    let rest = modulated(2, 4, 6, 6);
    assert_frozen_arguments_get_no_gradient(&rest[..1], |it| {
        group_norm_scale_shift_silu(&it[0], &rest[1], &rest[2], &rest[3], &rest[4], 2, EPS)
    });
}

#[test]
fn nan_spreads_to_its_group_only() {
    let operands = operands(1, 4, 5, 8);
    let mut numbers = operands[0].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    numbers[3] = f32::NAN;
    let x = Tensor::from_vec(numbers, operands[0].shape(), &Device::Cpu).unwrap();
    for isa in Isa::all() {
        let y = fused(isa, &x, &operands[1], &operands[2], 2, EPS, true).unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y[..80].iter().all(|it| it.is_nan()));
        assert!(y[80..].iter().all(|it| it.is_finite()));
    }
}

#[test]
fn extreme_inputs_stay_finite() {
    let x = (normal(1, &[1, 2, 4, 4]) * 1e15).unwrap();
    let (weight, bias) = ((normal(2, &[2]) * 1e4).unwrap(), normal(3, &[2]));
    let y = group_norm_silu(&x, &weight, &bias, 1, EPS).unwrap();
    assert!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|it| it.is_finite()));
}

#[test]
fn accepts_an_empty_batch() {
    let operands = operands(0, 4, 5, 7);
    let y = group_norm(&operands[0], &operands[1], &operands[2], 2, EPS).unwrap();
    assert_eq!(y.dims(), [0, 4, 5, 7]);
}

#[test]
fn rejects_invalid_shapes() {
    let it = modulated(2, 6, 3, 3);
    let wrong = normal(9, &[5]);
    #[rustfmt::skip]
    let table = [
        (group_norm(&it[0], &wrong, &it[2], 2, EPS), "weight"),
        (group_norm(&it[0], &it[1], &wrong, 2, EPS), "bias"),
        (group_norm(&it[0], &it[1], &it[2], 4, EPS), "4 groups"),
        (group_norm(&it[0], &it[1], &it[2], 0, EPS), "0 groups"),
        (group_norm_scale_shift_silu(&it[0], &it[1], &it[2], &wrong, &it[4], 2, EPS), "scale"),
        (group_norm_scale_shift_silu(&it[0], &it[1], &it[2], &it[3], &wrong, 2, EPS), "shift"),
    ];
    for (result, culprit) in table {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(culprit), "{message}");
    }
}
