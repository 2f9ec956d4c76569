//! The content of reused scratch memory must not reach the next result.

use candle_core::{DType, Tensor};

use crate::run::{assert_same, numbers, operands, run, with_each_kernels};
use crate::table::{ROWS, Row, SIZES, Size};

/// Larger than all other sizes.
const LARGE: Size = Size { batch: 1, channels: 9, height: 18, width: 19 };
/// The row with the most scratch memory: unrolled images, in the portable kernels.
const WIDEST: &str = "conv2d 5x5";

/// Runs a row on NaN only, which fills the scratch memory.
fn spoil(row: &Row) {
    let nan = |it: &Tensor| (it * f64::NAN).unwrap();
    let operands: Vec<_> = operands(row, LARGE).iter().map(nan).collect();
    run(row, &operands, DType::F32);
}

#[test]
fn nan_in_scratch_memory_does_not_reach_results() {
    // One thread, so that the memory is the same each time.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let widest = ROWS.iter().find(|it| it.name == WIDEST).unwrap();
    with_each_kernels(|kernels| {
        let check = |row: &Row, size| {
            let operands = operands(row, size);
            let before = run(row, &operands, DType::F32);
            spoil(widest);
            spoil(row);
            let after = run(row, &operands, DType::F32);
            for ((part, after), (_, before)) in after.parts().zip(before.parts()) {
                let what = format!("{}, {size:?}, {kernels:?}: {part}", row.name);
                assert!(!numbers(after).iter().any(|it| it.is_nan()), "{what}");
                assert_same(&what, after, before);
            }
        };
        pool.install(|| {
            for row in ROWS {
                SIZES.iter().filter(|it| row.takes(**it)).for_each(|size| check(row, *size));
            }
        });
    });
}
