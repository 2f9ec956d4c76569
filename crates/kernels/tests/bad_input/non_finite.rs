//! NaN and infinities stay in their sample and reach its output.

use candle_core::{DType, Device, Tensor};

use crate::run::{
    Outcome, assert_same, loss, numbers, operands, run, run_viewed, with_each_kernels,
};
use crate::table::{ORDINARY, ROWS, Row};

/// The sample with the replaced element, neither the first nor the last.
const SPOILT: usize = 1;

const VALUES: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// `x` with one element of that sample replaced.
fn spoil(x: &Tensor, value: f32) -> Tensor {
    let sample = x.elem_count() / x.dims()[0];
    let mut numbers = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    numbers[SPOILT * sample + sample / 2] = value;
    Tensor::from_vec(numbers, x.dims(), &Device::Cpu).unwrap()
}

/// Asserts that the other samples did not change.
#[track_caller]
fn assert_others_are_the_same(row: &Row, what: &str, got: &Outcome, clean: &Outcome) {
    let of_samples = 1 + row.per_sample;
    for ((part, got), (_, clean)) in got.parts().zip(clean.parts()).take(of_samples) {
        for sample in (0..ORDINARY.batch).filter(|it| *it != SPOILT) {
            let [got, clean] = [got, clean].map(|it| it.get(sample).unwrap());
            let what = format!("{}, {what}: {part} of sample {sample}", row.name);
            assert_same(&what, &got, &clean);
        }
    }
}

#[test]
fn non_finite_values_stay_in_their_sample() {
    for row in ROWS {
        let operands = operands(row, ORDINARY);
        let check = |dtype| {
            let clean = run(row, &operands, dtype);
            for at in 0..row.per_sample {
                for value in VALUES {
                    let mut spoilt = operands.clone();
                    spoilt[at] = spoil(&operands[at], value);
                    let got = run(row, &spoilt, dtype);
                    let what = format!("{value} in operand {at}, {dtype:?}");
                    assert_others_are_the_same(row, &what, &got, &clean);
                }
            }
        };
        check(DType::F64);
        with_each_kernels(|_| check(DType::F32));
    }
}

#[test]
fn nan_reaches_the_output_of_its_sample() {
    for row in ROWS {
        let operands = operands(row, ORDINARY);
        let check = |dtype| {
            for at in 0..row.per_sample {
                let mut spoilt = operands.clone();
                spoilt[at] = spoil(&operands[at], f32::NAN);
                let sample = run(row, &spoilt, dtype).output.get(SPOILT).unwrap();
                let count = numbers(&sample).iter().filter(|it| it.is_nan()).count();
                assert_ne!(count, 0, "{}: NaN in operand {at} vanished in {dtype:?}", row.name);
            }
        };
        check(DType::F64);
        with_each_kernels(|_| check(DType::F32));
    }
}

#[test]
fn non_finite_gradients_stay_in_their_sample() {
    for row in ROWS {
        let operands = operands(row, ORDINARY);
        let same = |_: usize, it: &Tensor| it.clone();
        let check = |dtype| {
            let clean = run(row, &operands, dtype);
            for value in VALUES {
                // A loss with one factor replaced.
                let spoilt = |y: &Tensor| {
                    let factors =
                        spoil(&y.ones_like().unwrap().to_dtype(DType::F32).unwrap(), value);
                    (loss(y) * factors.to_dtype(y.dtype()).unwrap()).unwrap()
                };
                let got = run_viewed(row, &operands, dtype, same, spoilt);
                let what = format!("{value} in the gradient, {dtype:?}");
                assert_others_are_the_same(row, &what, &got, &clean);
                let is_spoilt = |it: &Tensor| numbers(it).iter().any(|it| !it.is_finite());
                let spread = got.gradients.iter().any(is_spoilt);
                assert!(spread, "{}: {what} vanished", row.name);
            }
        };
        check(DType::F64);
        with_each_kernels(|_| check(DType::F32));
    }
}
