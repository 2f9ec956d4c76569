//! Convolution and its gradients.

use super::launch::{Argument::*, Grid, Type, assert_close, cases, run, values, word};

pub const KERNELS: &[&str] = &["conv2d", "through_weight"];

/// Rows and columns of a threadgroup's output tile, and floats in its shared memory.
const TILE: usize = 64;
const SHARED: usize = 2 * 16 * 65;

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    side: usize,
}

impl Case {
    fn pixels(&self) -> usize {
        self.height * self.width
    }

    fn taps(&self) -> usize {
        self.side * self.side
    }

    /// Calls `f` with the offsets of y, x and weight for every product.
    fn for_each(&self, mut f: impl FnMut(usize, usize, usize)) {
        let Self { batch, inputs, outputs, height, width, side } = *self;
        let half = side / 2;
        for b in 0..batch {
            for o in 0..outputs {
                for c in 0..inputs {
                    for i in 0..height {
                        for j in 0..width {
                            for u in 0..side {
                                for v in 0..side {
                                    let row = (i + u).checked_sub(half).filter(|it| *it < height);
                                    let column = (j + v).checked_sub(half).filter(|it| *it < width);
                                    let (Some(row), Some(column)) = (row, column) else { continue };
                                    let y = ((b * outputs + o) * height + i) * width + j;
                                    let x = ((b * inputs + c) * height + row) * width + column;
                                    f(y, x, ((o * inputs + c) * side + u) * side + v);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn sizes(&self, flipped: bool, biased: bool, run: usize) -> Vec<u32> {
        let channels =
            if flipped { [self.outputs, self.inputs] } else { [self.inputs, self.outputs] };
        let mut sizes = vec![self.batch];
        sizes.extend(channels);
        sizes.extend([self.height, self.width, self.side]);
        sizes.extend([usize::from(flipped), usize::from(biased), run]);
        sizes.into_iter().map(word).collect()
    }

    fn grid(&self, rows: usize, columns: usize, depth: usize) -> Grid {
        let groups = [columns.div_ceil(TILE), rows.div_ceil(TILE), depth].map(word);
        Grid { groups, threads: 256, shared: SHARED }
    }

    fn check(&self, ty: Type) {
        let (columns, suffix) = (self.batch * self.pixels(), ty.suffix());
        let x = values(ty, 1, self.inputs * columns);
        let grad = values(ty, 2, self.outputs * columns);
        let weight = values(ty, 3, self.outputs * self.inputs * self.taps());
        let bias = values(ty, 4, self.outputs);
        let (mut y, mut grad_x) = (vec![0.0; grad.len()], vec![0.0; x.len()]);
        let mut grad_weight = vec![0.0; weight.len()];
        self.for_each(|at, of_x, of_weight| {
            y[at] += x[of_x] * weight[of_weight];
            grad_x[of_x] += grad[at] * weight[of_weight];
            grad_weight[of_weight] += grad[at] * x[of_x];
        });
        let of = |elements: &Vec<f64>| Input(ty, elements.clone());
        for &biased in cases(&[true, false]) {
            let bias: Vec<_> = bias.iter().map(|it| if biased { *it } else { f64::NAN }).collect();
            let expected: Vec<_> = y
                .iter()
                .enumerate()
                .map(|(i, y)| if biased { y + bias[i / self.pixels() % self.outputs] } else { *y })
                .collect();
            let sizes = Constant(self.sizes(false, biased, 0));
            let arguments = [of(&x), of(&weight), of(&bias), Output(ty, y.len()), sizes];
            let got =
                run(&format!("conv2d_{suffix}"), &arguments, &self.grid(self.outputs, columns, 1));
            assert_close(&format!("{self:?} {suffix}"), ty.tolerance(), &got[0], &expected);
        }
        let sizes = Constant(self.sizes(true, false, 0));
        let arguments = [of(&grad), of(&weight), of(&bias), Output(ty, x.len()), sizes];
        let got = run(&format!("conv2d_{suffix}"), &arguments, &self.grid(self.inputs, columns, 1));
        assert_close(&format!("{self:?} {suffix} grad_x"), ty.tolerance(), &got[0], &grad_x);
        for run_length in [columns, 48] {
            let parts = columns.div_ceil(run_length);
            let sizes = Constant(self.sizes(false, false, run_length));
            let count = parts * weight.len();
            let arguments = [of(&x), of(&grad), Output(Type::F32, count), sizes];
            let grid = self.grid(self.outputs, self.inputs, self.taps() * parts);
            let got = run(&format!("through_weight_{suffix}"), &arguments, &grid);
            let sum = |i: usize| got[0].iter().skip(i).step_by(weight.len()).sum();
            let got: Vec<f64> = (0..weight.len()).map(sum).collect();
            let what = format!("{self:?} {suffix} grad_weight, {parts} parts");
            assert_close(&what, Type::F32.tolerance(), &got, &grad_weight);
        }
    }
}

#[test]
fn values_and_gradients() {
    // The first case has terms of more than one stage.
    let all = [
        Case { batch: 1, inputs: 17, outputs: 18, height: 3, width: 4, side: 3 },
        Case { batch: 1, inputs: 1, outputs: 1, height: 1, width: 1, side: 1 },
        Case { batch: 1, inputs: 1, outputs: 1, height: 1, width: 1, side: 3 },
        Case { batch: 2, inputs: 3, outputs: 5, height: 5, width: 7, side: 3 },
        Case { batch: 2, inputs: 17, outputs: 70, height: 4, width: 4, side: 1 },
        Case { batch: 1, inputs: 70, outputs: 18, height: 9, width: 9, side: 3 },
        Case { batch: 3, inputs: 2, outputs: 3, height: 1, width: 9, side: 3 },
        Case { batch: 1, inputs: 2, outputs: 2, height: 6, width: 3, side: 5 },
    ];
    for &ty in Type::all() {
        for case in cases(&all) {
            case.check(ty);
        }
    }
}
