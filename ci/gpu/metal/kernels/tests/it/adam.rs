//! Adam and the exponential moving average, in place.

use super::launch::{Argument::*, Grid, Type, assert_close, float, run, values, word};

pub const KERNELS: &[&str] = &["average", "update"];

#[test]
fn moving_averages() {
    for &ty in Type::all() {
        for (count, squared) in [(1, false), (1, true), (777, false), (777, true)] {
            let (x, y) = (values(ty, 1, count), values(ty, 2, count));
            let constants = vec![word(count), u32::from(squared), float(0.9), float(0.1)];
            let arguments = [InPlace(ty, x.clone()), Input(ty, y.clone()), Constant(constants)];
            let name = format!("average_{}", ty.suffix());
            let got = run(&name, &arguments, &Grid::each(count));
            let expected: Vec<_> = x
                .iter()
                .zip(&y)
                .map(|(x, y)| 0.9 * x + 0.1 * if squared { y * y } else { *y })
                .collect();
            assert_close(&name, ty.tolerance(), &got[0], &expected);
        }
    }
}

#[test]
fn updates() {
    for &ty in Type::all() {
        for count in [1, 777] {
            let (param, m) = (values(ty, 1, count), values(ty, 2, count));
            let v: Vec<_> = values(ty, 3, count).iter().map(|v| v.abs()).collect();
            let (keep, rate, scale, eps) = (0.99, 0.02, 1.5, 1e-3);
            let mut constants = vec![word(count)];
            constants.extend([keep, rate, scale, eps].map(float));
            let arguments = [
                InPlace(ty, param.clone()),
                Input(ty, m.clone()),
                Input(ty, v.clone()),
                Constant(constants),
            ];
            let name = format!("update_{}", ty.suffix());
            let got = run(&name, &arguments, &Grid::each(count));
            let moments = m.iter().zip(&v);
            let expected: Vec<_> = param
                .iter()
                .zip(moments)
                .map(|(param, (m, v))| keep * param - rate * m / ((v * scale).sqrt() + eps))
                .collect();
            assert_close(&name, ty.tolerance(), &got[0], &expected);
        }
    }
}
