//! What a kernel leaves in the memory that its thread keeps must not reach the next result.

use candle_core::{DType, Tensor};

use crate::run::{assert_same, operands, run, with_each_kernels};
use crate::table::{ROWS, SIZES, Size};

/// Larger than all others, so that the kept memory is dirty as far as any of them reads.
const LARGE: Size = Size { batch: 2, channels: 17, height: 18, width: 19 };

#[test]
fn nan_in_kept_memory_does_not_come_back() {
    // One thread, so that it is the same memory each time.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    with_each_kernels(|kernels| {
        pool.install(|| {
            let spoil = || {
                for row in ROWS {
                    let nan = |it: &Tensor| (it * f64::NAN).unwrap();
                    let operands: Vec<_> = operands(row, LARGE).iter().map(nan).collect();
                    run(row, &operands, DType::F32);
                }
            };
            for row in ROWS {
                for &size in SIZES.iter().filter(|it| row.takes(**it)) {
                    let operands = operands(row, size);
                    let before = run(row, &operands, DType::F32);
                    spoil();
                    let after = run(row, &operands, DType::F32);
                    for ((part, after), (_, before)) in after.parts().zip(before.parts()) {
                        let what = format!("{}, {size:?}, {kernels:?}: {part}", row.name);
                        assert_same(&what, after, before);
                        assert!(!crate::run::numbers(after).iter().any(|it| it.is_nan()), "{what}");
                    }
                }
            }
        });
    });
}
