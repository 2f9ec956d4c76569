//! Operands that are not contiguous, or not at the start of their storage. The elements between and
//! around them are NaN, which reveals a kernel that reads them.

use candle_core::{DType, Tensor};

use crate::run::{assert_close, assert_same, loss, operands, run_viewed, with_each_kernels};
use crate::table::{ORDINARY, ROWS, Row};

/// A kind of view with the shape of the operand.
struct View {
    name: &'static str,
    /// Function from the operand to a tensor that contains it.
    base: fn(&Tensor) -> Tensor,
    /// Function from that tensor to the view.
    view: fn(&Tensor, &[usize]) -> Tensor,
}

const VIEWS: [View; 4] = [
    View {
        name: "offset",
        base: |x| {
            let first = x.narrow(0, 0, 1).unwrap();
            let nan = (first * f64::NAN).unwrap();
            Tensor::cat(&[&nan, x, &nan], 0).unwrap()
        },
        view: |base, dims| base.narrow(0, 1, dims[0]).unwrap(),
    },
    View {
        name: "strided",
        base: |x| Tensor::stack(&[x, &(x * f64::NAN).unwrap()], x.rank()).unwrap(),
        view: |base, dims| base.narrow(dims.len(), 0, 1).unwrap().squeeze(dims.len()).unwrap(),
    },
    View {
        name: "permuted",
        base: |x| x.transpose(0, x.rank() - 1).unwrap().contiguous().unwrap(),
        view: |base, dims| base.transpose(0, dims.len() - 1).unwrap(),
    },
    View {
        name: "repeated",
        base: |x| x.narrow(0, 0, 1).unwrap().contiguous().unwrap(),
        view: |base, dims| base.broadcast_as(dims).unwrap(),
    },
];

/// Tolerance of `linear` in f32: it uses candle's matrix product, which sums in another order if a
/// factor is strided.
const ROUNDING: f64 = 1e-6;

fn is_candles_own(row: &Row) -> bool {
    row.name == "linear"
}

#[test]
fn views_give_the_same_as_copies() {
    for row in ROWS {
        let operands = operands(row, ORDINARY);
        for (at, view) in (0..operands.len()).flat_map(|at| VIEWS.iter().map(move |it| (at, it))) {
            let dims = operands[at].dims();
            let mut bases = operands.clone();
            bases[at] = (view.base)(&operands[at]);
            let seen =
                |i: usize, it: &Tensor| if i == at { (view.view)(it, dims) } else { it.clone() };
            let copied = |i: usize, it: &Tensor| seen(i, it).force_contiguous().unwrap();
            let check = |dtype| {
                let got = run_viewed(row, &bases, dtype, seen, loss);
                let expected = run_viewed(row, &bases, dtype, copied, loss);
                for ((part, got), (_, expected)) in got.parts().zip(expected.parts()) {
                    let what = format!("{}, operand {at} {}, {part}", row.name, view.name);
                    if is_candles_own(row) {
                        assert_close(&what, ROUNDING, got, expected)
                    } else {
                        assert_same(&what, got, expected)
                    }
                }
            };
            check(DType::F64);
            with_each_kernels(|_| check(DType::F32));
        }
    }
}
