//! Odd sizes and empty ones.

use candle_core::DType;

use crate::run::{assert_close, numbers, operands, run, with_each_kernels};
use crate::table::{ORDINARY, ROWS, SIZES, Size};

/// Tolerance in f32. Groups of few elements divide by a small deviation.
const TOLERANCE: f64 = 2e-5;

#[test]
fn kernels_agree_with_the_composed_form_at_every_size() {
    for row in ROWS {
        for &size in SIZES.iter().filter(|it| row.takes(**it)) {
            let operands = operands(row, size);
            let expected = run(row, &operands, DType::F64);
            with_each_kernels(|kernels| {
                let got = run(row, &operands, DType::F32);
                for ((part, got), (_, expected)) in got.parts().zip(expected.parts()) {
                    let what = format!("{}, {size:?}, {kernels:?}: {part}", row.name);
                    assert_close(&what, TOLERANCE, got, expected);
                }
            });
        }
    }
}

/// The output is empty, and shared operands have gradients of zeros.
#[test]
fn accepts_an_empty_batch() {
    for row in ROWS {
        let full = run(row, &operands(row, ORDINARY), DType::F32);
        let operands = operands(row, Size { batch: 0, ..ORDINARY });
        let check = |dtype| {
            let outcome = run(row, &operands, dtype);
            let mut dims = full.output.dims().to_vec();
            dims[0] = 0;
            assert_eq!(outcome.output.dims(), dims, "{}", row.name);
            for (operand, gradient) in operands.iter().zip(&outcome.gradients) {
                assert_eq!(gradient.dims(), operand.dims(), "{}", row.name);
                assert!(numbers(gradient).iter().all(|it| *it == 0.0), "{}", row.name);
            }
        };
        check(DType::F64);
        with_each_kernels(|_| check(DType::F32));
    }
}

/// The result of a sample does not depend on the other samples of the batch.
#[test]
fn samples_are_independent() {
    for row in ROWS.iter().filter(|it| it.name != "dropout") {
        let operands = operands(row, ORDINARY);
        let one = operands.iter().enumerate().map(|(i, it)| {
            if i < row.per_sample { it.narrow(0, 1, 1).unwrap() } else { it.clone() }
        });
        let one: Vec<_> = one.collect();
        with_each_kernels(|kernels| {
            let whole = run(row, &operands, DType::F32).output.narrow(0, 1, 1).unwrap();
            let alone = run(row, &one, DType::F32).output;
            assert_close(&format!("{}, {kernels:?}", row.name), TOLERANCE, &alone, &whole);
        });
    }
}
