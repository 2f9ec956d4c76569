//! Group normalization and its gradient.

use super::launch::{Argument::*, Grid, Type, assert_close, cases, float, run, values, word};

pub const KERNELS: &[&str] = &["group_norm", "through_group_norm"];

const EPS: f64 = 1e-5;

struct Case {
    batch: usize,
    channels: usize,
    pixels: usize,
    groups: usize,
    per_sample: bool,
    silu: bool,
}

/// Operands of a case and its expected results.
struct Expected {
    y: Vec<f64>,
    moments: Vec<f64>,
    grad_x: Vec<f64>,
    grad_weight: Vec<f64>,
    grad_bias: Vec<f64>,
}

impl Case {
    fn weight(&self, sample: usize, channel: usize) -> usize {
        if self.per_sample { sample * self.channels + channel } else { channel }
    }

    fn expected(&self, x: &[f64], weight: &[f64], bias: &[f64], grad: &[f64]) -> Expected {
        let Self { channels, pixels, groups, .. } = *self;
        let (group, length) = (channels / groups, channels / groups * pixels);
        let mut out = Expected {
            y: vec![0.0; x.len()],
            moments: Vec::new(),
            grad_x: vec![0.0; x.len()],
            grad_weight: vec![0.0; self.batch * channels],
            grad_bias: vec![0.0; self.batch * channels],
        };
        for (index, x) in x.chunks(length).enumerate() {
            let mean = x.iter().sum::<f64>() / length as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / length as f64;
            let inverse = 1.0 / (variance + EPS).sqrt();
            out.moments.extend([mean, inverse]);
            let (sample, first) = (index / groups, index % groups * group);
            let (mut scaled, mut normals) = (vec![0.0; length], vec![0.0; length]);
            for (i, x) in x.iter().enumerate() {
                let channel = first + i / pixels;
                let at = self.weight(sample, channel);
                let normal = (x - mean) * inverse;
                let z = weight[at] * normal + bias[at];
                let s = 1.0 / (1.0 + (-z).exp());
                let (y, slope) =
                    if self.silu { (z * s, s * (1.0 + z * (1.0 - s))) } else { (z, 1.0) };
                out.y[index * length + i] = y;
                let d = grad[index * length + i] * slope;
                out.grad_bias[sample * channels + channel] += d;
                out.grad_weight[sample * channels + channel] += d * normal;
                (scaled[i], normals[i]) = (d * weight[at], normal);
            }
            let mean = |of: &dyn Fn(usize) -> f64| (0..length).map(of).sum::<f64>() / length as f64;
            let (mean_d, mean_normal) = (mean(&|i| scaled[i]), mean(&|i| scaled[i] * normals[i]));
            for i in 0..length {
                let grad_x = (scaled[i] - mean_d - normals[i] * mean_normal) * inverse;
                out.grad_x[index * length + i] = grad_x;
            }
        }
        out
    }

    fn check(&self, ty: Type, threads: u32) {
        let weights = if self.per_sample { self.batch * self.channels } else { self.channels };
        let count = self.batch * self.channels * self.pixels;
        let [x, grad] = [1, 2].map(|seed| values(ty, seed, count));
        let [weight, bias] = [3, 4].map(|seed| values(ty, seed, weights));
        let expected = self.expected(&x, &weight, &bias, &grad);
        let mut sizes = [self.channels, self.pixels, self.groups].map(word).to_vec();
        sizes.extend([u32::from(self.per_sample), u32::from(self.silu), float(EPS)]);
        let grid = Grid { groups: [word(self.batch * self.groups), 1, 1], threads, shared: 32 };
        let of = |elements: &Vec<f64>| Input(ty, elements.clone());
        let what = format!("{} {count} values, {threads} threads", ty.suffix());
        let moments = expected.moments.len();
        let arguments = [
            of(&x),
            of(&weight),
            of(&bias),
            Output(ty, count),
            Output(Type::F32, moments),
            Constant(sizes.clone()),
        ];
        let got = run(&format!("group_norm_{}", ty.suffix()), &arguments, &grid);
        assert_close(&what, ty.tolerance(), &got[0], &expected.y);
        assert_close(&what, Type::F32.tolerance(), &got[1], &expected.moments);
        let arguments = [
            of(&x),
            of(&weight),
            of(&bias),
            of(&grad),
            Input(Type::F32, expected.moments.clone()),
            Output(ty, count),
            Output(Type::F32, self.batch * self.channels),
            Output(Type::F32, self.batch * self.channels),
            Constant(sizes),
        ];
        let got = run(&format!("through_group_norm_{}", ty.suffix()), &arguments, &grid);
        assert_close(&format!("{what} grad_x"), ty.tolerance(), &got[0], &expected.grad_x);
        assert_close(&what, Type::F32.tolerance(), &got[1], &expected.grad_weight);
        assert_close(&what, Type::F32.tolerance(), &got[2], &expected.grad_bias);
    }
}

#[test]
fn values_and_gradients() {
    let shapes = [
        [1, 6, 49, 2],
        [2, 8, 16, 4],
        [3, 12, 49, 2],
        [1, 64, 64, 32],
        [2, 6, 5, 1],
        [1, 4, 1024, 2],
    ];
    for &ty in Type::all() {
        for &[batch, channels, pixels, groups] in cases(&shapes) {
            for &(per_sample, silu) in cases(&[(true, true), (false, false), (false, true)]) {
                let case = Case { batch, channels, pixels, groups, per_sample, silu };
                for &threads in cases(&[96, 32, 256]) {
                    case.check(ty, threads);
                }
            }
        }
    }
}

#[test]
fn single_value_is_mean_of_its_group() {
    let case = Case { batch: 2, channels: 3, pixels: 1, groups: 3, per_sample: false, silu: false };
    case.check(Type::F32, 32);
}
