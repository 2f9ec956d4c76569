//! Element-wise kernels, concatenation, and the two sums.

use super::launch::{Argument::*, Grid, Type, assert_close, cases, float, run, values, word};

pub const KERNELS: &[&str] = &[
    "add_scaled",
    "scaled",
    "add_channels",
    "silu",
    "sigmoid",
    "softplus",
    "through_silu",
    "through_sigmoid",
    "through_softplus",
    "concat",
    "part",
    "sum_rows",
    "sum_leading",
];

const COUNTS: [usize; 3] = [1, 257, 1000];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn sums_and_scales() {
    for &ty in Type::all() {
        for count in COUNTS {
            let (a, b) = (values(ty, 1, count), values(ty, 2, count));
            let constants = || [Constant(vec![word(count)]), Constant(vec![float(0.7)])];
            let [n, scale] = constants();
            let arguments =
                [Input(ty, a.clone()), Input(ty, b.clone()), Output(ty, count), n, scale];
            let got = run(&format!("add_scaled_{}", ty.suffix()), &arguments, &Grid::each(count));
            let expected: Vec<_> = a.iter().zip(&b).map(|(a, b)| (a + b) * 0.7).collect();
            assert_close("add_scaled", ty.tolerance(), &got[0], &expected);
            let [n, scale] = constants();
            let arguments = [Input(ty, a.clone()), Output(ty, count), n, scale];
            let got = run(&format!("scaled_{}", ty.suffix()), &arguments, &Grid::each(count));
            let expected: Vec<_> = a.iter().map(|a| a * 0.7).collect();
            assert_close("scaled", ty.tolerance(), &got[0], &expected);
        }
    }
}

#[test]
fn one_value_per_channel() {
    for &ty in Type::all() {
        for [channels, pixels] in [[1, 1], [7, 45], [3, 100]] {
            let (x, c) = (values(ty, 1, channels * pixels), values(ty, 2, channels));
            let arguments = [
                Input(ty, x.clone()),
                Input(ty, c.clone()),
                Output(ty, x.len()),
                Constant(vec![word(x.len())]),
                Constant(vec![word(pixels)]),
            ];
            let name = format!("add_channels_{}", ty.suffix());
            let got = run(&name, &arguments, &Grid::each(x.len()));
            let expected: Vec<_> = x.iter().enumerate().map(|(i, x)| x + c[i / pixels]).collect();
            assert_close(&name, ty.tolerance(), &got[0], &expected);
        }
    }
}

/// A function and its derivative; the derivative of the sigmoid is a function of its value.
type Pair = (&'static str, fn(f64) -> f64, fn(f64) -> f64);

const FUNCTIONS: [Pair; 3] = [
    ("silu", |x| x * sigmoid(x), |x| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))),
    ("sigmoid", sigmoid, |y| y * (1.0 - y)),
    ("softplus", |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid),
];

#[test]
fn functions_of_one_value() {
    for &ty in Type::all() {
        for (name, f, derivative) in FUNCTIONS {
            for count in COUNTS {
                let x: Vec<_> = values(ty, 3, count).iter().map(|x| 4.0 * x).collect();
                let grad = values(ty, 4, count);
                let n = || Constant(vec![word(count)]);
                let arguments = [Input(ty, x.clone()), Output(ty, count), n()];
                let got = run(&format!("{name}_{}", ty.suffix()), &arguments, &Grid::each(count));
                let expected: Vec<_> = x.iter().map(|x| f(*x)).collect();
                assert_close(name, ty.tolerance(), &got[0], &expected);
                let arguments =
                    [Input(ty, x.clone()), Input(ty, grad.clone()), Output(ty, count), n()];
                let through = format!("through_{name}_{}", ty.suffix());
                let got = run(&through, &arguments, &Grid::each(count));
                let expected: Vec<_> =
                    x.iter().zip(&grad).map(|(x, g)| g * derivative(*x)).collect();
                assert_close(&through, ty.tolerance(), &got[0], &expected);
            }
        }
    }
}

/// Compares values with a relative tolerance: the loss of a confident discriminator is small, not
/// zero.
#[test]
fn softplus_and_sigmoid_keep_their_digits() {
    let x: Vec<f64> = (-800..=800).map(|i| f64::from(i as f32 * 0.1)).collect();
    for (name, f, _) in &FUNCTIONS[1..] {
        let arguments = [
            Input(Type::F32, x.clone()),
            Output(Type::F32, x.len()),
            Constant(vec![word(x.len())]),
        ];
        let got = run(&format!("{name}_f32"), &arguments, &Grid::each(x.len()));
        for (x, got) in x.iter().zip(&got[0]) {
            let error = (got / f(*x) - 1.0).abs();
            assert!(error < 1e-6, "{name}({x}) = {got}, off by {error:.1e}");
        }
    }
}

#[test]
fn extreme_values_and_nan() {
    let x = vec![-1e30, 1e30, f64::NAN, f64::NEG_INFINITY, f64::INFINITY];
    let map = |name: &str| {
        let arguments = [Input(Type::F32, x.clone()), Output(Type::F32, 5), Constant(vec![5])];
        run(&format!("{name}_f32"), &arguments, &Grid::each(5)).remove(0)
    };
    assert_eq!(map("softplus")[..2], [0.0, f64::from(1e30f32)]);
    assert_eq!(map("softplus")[3..], [0.0, f64::INFINITY]);
    assert_eq!(map("sigmoid")[..2], [0.0, 1.0]);
    assert_eq!(map("silu")[1], f64::from(1e30f32));
    for name in ["softplus", "sigmoid", "silu"] {
        assert!(map(name)[2].is_nan(), "{name}");
    }
    let arguments = [
        Input(Type::F32, x.clone()),
        Input(Type::F32, vec![1.0; 5]),
        Output(Type::F32, 5),
        Constant(vec![5]),
    ];
    let got = run("through_silu_f32", &arguments, &Grid::each(5));
    assert_eq!(got[0][..2], [0.0, 1.0]);
}

#[test]
fn concatenates_and_splits() {
    for &ty in Type::all() {
        for [batch, a_length, b_length] in [[1, 1, 1], [3, 70, 35], [2, 4, 333]] {
            let length = a_length + b_length;
            let (a, b) = (values(ty, 1, batch * a_length), values(ty, 2, batch * b_length));
            let joined: Vec<_> = (0..batch)
                .flat_map(|i| {
                    [&a[i * a_length..][..a_length], &b[i * b_length..][..b_length]].concat()
                })
                .collect();
            let arguments = [
                Input(ty, a.clone()),
                Input(ty, b.clone()),
                Output(ty, batch * length),
                Constant(vec![word(batch * length), word(a_length), word(b_length)]),
            ];
            let name = format!("concat_{}", ty.suffix());
            assert_eq!(run(&name, &arguments, &Grid::each(batch * length))[0], joined);
            for (start, part, expected) in [(0, a_length, &a), (a_length, b_length, &b)] {
                let count = batch * part;
                let arguments = [
                    Input(ty, joined.clone()),
                    Output(ty, count),
                    Constant([count, length, start, part].map(word).to_vec()),
                ];
                let name = format!("part_{}", ty.suffix());
                assert_eq!(run(&name, &arguments, &Grid::each(count))[0], *expected);
            }
        }
    }
}

#[test]
fn sums_of_rows_and_over_the_first_axis() {
    for &ty in Type::all() {
        for &[count, length] in cases(&[[2, 700], [1, 1], [5, 49], [40, 6]]) {
            let x = values(ty, 1, count * length);
            let sizes = || Constant(vec![word(count), word(length)]);
            let arguments = [Input(ty, x.clone()), Output(Type::F32, count), sizes()];
            for &threads in cases(&[256, 32]) {
                let grid = Grid { groups: [word(count), 1, 1], threads, shared: 32 };
                let got = run(&format!("sum_rows_{}", ty.suffix()), &arguments, &grid);
                let expected: Vec<f64> = x.chunks(length).map(|it| it.iter().sum()).collect();
                assert_close("sum_rows", Type::F32.tolerance(), &got[0], &expected);
            }
            let x = values(Type::F32, 1, count * length);
            let arguments = [Input(Type::F32, x.clone()), Output(ty, length), sizes()];
            let name = format!("sum_leading_{}", ty.suffix());
            let got = run(&name, &arguments, &Grid::each(length));
            let sum = |i| x.iter().skip(i).step_by(length).sum();
            let expected: Vec<f64> = (0..length).map(sum).collect();
            assert_close(&name, ty.tolerance(), &got[0], &expected);
        }
    }
}
