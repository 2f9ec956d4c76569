//! Resampling compared with its matrix.

use super::launch::{Argument::*, Grid, Type, assert_close, float, run, values, word};

pub const KERNELS: &[&str] = &["reduce", "spread"];

const BOX: [f64; 2] = [0.5, 0.5];
const TENT: [f64; 4] = [0.125, 0.375, 0.375, 0.125];

/// Planes, rows and columns of the large image, and padding on each side.
struct Case {
    planes: usize,
    large: [usize; 2],
    taps: &'static [f64],
    padding: usize,
}

impl Case {
    fn small(&self) -> [usize; 2] {
        self.large.map(|it| (it + 2 * self.padding - self.taps.len()) / 2 + 1)
    }

    /// Returns the matrix `[small, large]` along an axis.
    fn matrix(&self, axis: usize) -> Vec<Vec<f64>> {
        let (small, large) = (self.small()[axis], self.large[axis]);
        let mut matrix = vec![vec![0.0; large]; small];
        for (i, row) in matrix.iter_mut().enumerate() {
            for (u, tap) in self.taps.iter().enumerate() {
                if let Some(j) = (2 * i + u).checked_sub(self.padding).filter(|j| *j < large) {
                    row[j] = *tap;
                }
            }
        }
        matrix
    }

    /// Sums the products of the matrices over rows and columns, from large to small or in reverse.
    fn expected(&self, x: &[f64], down: bool) -> Vec<f64> {
        let (rows, columns) = (self.matrix(0), self.matrix(1));
        let (large, small) = (self.large, self.small());
        let (from, to) = if down { (large, small) } else { (small, large) };
        let mut y = vec![0.0; self.planes * to[0] * to[1]];
        for plane in 0..self.planes {
            for i in 0..large[0] {
                for j in 0..large[1] {
                    for k in 0..small[0] {
                        for l in 0..small[1] {
                            let [a, b] = if down { [[k, l], [i, j]] } else { [[i, j], [k, l]] };
                            let target = (plane * to[0] + a[0]) * to[1] + a[1];
                            let source = (plane * from[0] + b[0]) * from[1] + b[1];
                            y[target] += rows[k][i] * columns[l][j] * x[source];
                        }
                    }
                }
            }
        }
        y
    }

    fn check(&self, ty: Type, down: bool) {
        let (large, small) = (self.large, self.small());
        let (from, to) = if down { (large, small) } else { (small, large) };
        let x = values(ty, 1, self.planes * from[0] * from[1]);
        let count = self.planes * to[0] * to[1];
        let mut constant = vec![word(count)];
        constant.extend([large[0], large[1], small[0], small[1]].map(word));
        constant.extend([self.padding, self.taps.len()].map(word));
        constant.extend((0..4).map(|u| float(self.taps.get(u).copied().unwrap_or(f64::NAN))));
        let arguments = [Input(ty, x.clone()), Output(ty, count), Constant(constant)];
        let name = format!("{}_{}", if down { "reduce" } else { "spread" }, ty.suffix());
        let got = run(&name, &arguments, &Grid::each(count));
        let what = format!("{name} {large:?} {:?} padding {}", self.taps, self.padding);
        assert_close(&what, ty.tolerance(), &got[0], &self.expected(&x, down));
    }
}

#[test]
fn both_directions_with_both_filters() {
    for &ty in Type::all() {
        for large in [[2, 2], [5, 7], [8, 8], [9, 33]] {
            let cases = [
                Case { planes: 3, large, taps: &BOX, padding: 0 },
                Case { planes: 3, large, taps: &TENT, padding: 1 },
            ];
            for case in cases {
                case.check(ty, true);
                case.check(ty, false);
            }
        }
        // The preceding convolution has already added the padding.
        Case { planes: 2, large: [6, 9], taps: &TENT, padding: 0 }.check(ty, true);
        Case { planes: 2, large: [6, 9], taps: &TENT, padding: 0 }.check(ty, false);
    }
}
