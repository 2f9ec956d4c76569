//! Attention and its gradient.

use super::launch::{Argument::*, Grid, Type, assert_close, cases, float, run, values, word};

pub const KERNELS: &[&str] =
    &["attention", "attention_means", "through_query", "through_key_value"];

/// Queries or keys, and channels, per threadgroup; floats in its shared memory.
const TILE: usize = 32;
const CHANNELS: usize = 128;
const SHARED: usize = 4 * 32 * 33;

#[derive(Clone, Copy, Debug)]
struct Case {
    heads: usize,
    channels: usize,
    pixels: usize,
}

struct Expected {
    y: Vec<f64>,
    log_sums: Vec<f64>,
    means: Vec<f64>,
    grad_qkv: Vec<f64>,
}

impl Case {
    fn scale(&self) -> f64 {
        1.0 / (self.channels as f64).sqrt()
    }

    fn expected(&self, qkv: &[f64], grad: &[f64]) -> Expected {
        let Self { heads, channels, pixels } = *self;
        let mut out = Expected {
            y: vec![0.0; grad.len()],
            log_sums: Vec::new(),
            means: Vec::new(),
            grad_qkv: vec![0.0; qkv.len()],
        };
        for head in 0..heads {
            let at =
                |part: usize, c: usize, t: usize| ((head * channels + c) * 3 + part) * pixels + t;
            let of_y = |c: usize, t: usize| (head * channels + c) * pixels + t;
            for t in 0..pixels {
                let dot =
                    |s| (0..channels).map(|c| qkv[at(0, c, t)] * qkv[at(1, c, s)]).sum::<f64>();
                let logits: Vec<_> = (0..pixels).map(|s| dot(s) * self.scale()).collect();
                let highest = logits.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
                let sum: f64 = logits.iter().map(|it| (it - highest).exp()).sum();
                out.log_sums.push(highest + sum.ln());
                let p: Vec<_> = logits.iter().map(|it| (it - highest).exp() / sum).collect();
                for c in 0..channels {
                    out.y[of_y(c, t)] = (0..pixels).map(|s| p[s] * qkv[at(2, c, s)]).sum();
                }
                let by_p: Vec<f64> = (0..pixels)
                    .map(|s| (0..channels).map(|c| grad[of_y(c, t)] * qkv[at(2, c, s)]).sum())
                    .collect();
                let mean: f64 = p.iter().zip(&by_p).map(|(p, g)| p * g).sum();
                out.means.push(mean);
                for s in 0..pixels {
                    let by_logit = p[s] * (by_p[s] - mean) * self.scale();
                    for c in 0..channels {
                        out.grad_qkv[at(0, c, t)] += by_logit * qkv[at(1, c, s)];
                        out.grad_qkv[at(1, c, s)] += by_logit * qkv[at(0, c, t)];
                        out.grad_qkv[at(2, c, s)] += p[s] * grad[of_y(c, t)];
                    }
                }
            }
        }
        out
    }

    fn sizes(&self) -> crate::launch::Argument {
        Constant(vec![word(self.channels), word(self.pixels), float(self.scale())])
    }

    fn grid(&self) -> Grid {
        let groups =
            [self.pixels.div_ceil(TILE), self.heads, self.channels.div_ceil(CHANNELS)].map(word);
        Grid { groups, threads: 256, shared: SHARED }
    }

    fn forward(&self, ty: Type, qkv: &[f64]) -> [Vec<f64>; 2] {
        let queries = self.heads * self.pixels;
        let arguments = [
            Input(ty, qkv.to_vec()),
            Output(ty, qkv.len() / 3),
            Output(Type::F32, queries),
            self.sizes(),
        ];
        let got = run(&format!("attention_{}", ty.suffix()), &arguments, &self.grid());
        got.try_into().expect("two outputs")
    }

    fn check(&self, ty: Type) {
        let Self { heads, channels, pixels } = *self;
        let (queries, suffix, what) = (heads * pixels, ty.suffix(), format!("{self:?} {ty:?}"));
        let qkv = values(ty, 1, 3 * heads * channels * pixels);
        let grad = values(ty, 2, heads * channels * pixels);
        let expected = self.expected(&qkv, &grad);
        let [y, log_sums] = self.forward(ty, &qkv);
        assert_close(&what, ty.tolerance(), &y, &expected.y);
        assert_close(&what, Type::F32.tolerance(), &log_sums, &expected.log_sums);
        // The means are of the stored output, rounded to the type.
        let arguments = [
            Input(ty, y.clone()),
            Input(ty, grad.clone()),
            Output(Type::F32, queries),
            self.sizes(),
            Constant(vec![word(queries)]),
        ];
        let means =
            run(&format!("attention_means_{suffix}"), &arguments, &Grid::each(queries)).remove(0);
        assert_close(&format!("{what} means"), 2.0 * ty.tolerance(), &means, &expected.means);
        // Each of the two kernels leaves the other's part unchanged.
        let mut grad_qkv = vec![0.0; qkv.len()];
        for name in ["through_query", "through_key_value"] {
            let arguments = [
                Input(ty, qkv.clone()),
                Input(ty, grad.clone()),
                Input(Type::F32, expected.log_sums.clone()),
                Input(Type::F32, expected.means.clone()),
                Output(ty, qkv.len()),
                self.sizes(),
            ];
            let got = run(&format!("{name}_{suffix}"), &arguments, &self.grid());
            for (i, (sum, got)) in grad_qkv.iter_mut().zip(&got[0]).enumerate() {
                let is_query = i / pixels % 3 == 0;
                assert_eq!(
                    got.is_nan(),
                    is_query != (name == "through_query"),
                    "{what} {name} {i}"
                );
                *sum += if got.is_nan() { 0.0 } else { *got };
            }
        }
        assert_close(&format!("{what} gradient"), ty.tolerance(), &grad_qkv, &expected.grad_qkv);
    }
}

#[test]
fn values_and_gradients() {
    let all =
        [[1, 33, 34], [1, 1, 1], [2, 3, 4], [1, 64, 64], [3, 8, 35], [2, 33, 9], [1, 140, 33]];
    for &ty in Type::all() {
        for &[heads, channels, pixels] in cases(&all) {
            Case { heads, channels, pixels }.check(ty);
        }
    }
}

/// Tests logits of 1e10, and keys with zero weight in the first block of keys and later.
#[test]
fn extreme_logits() {
    let case = Case { heads: 1, channels: 2, pixels: 70 };
    let large: Vec<_> = values(Type::F32, 1, 420).iter().map(|it| it * 1e5).collect();
    let expected = case.expected(&large, &[0.0; 140]).y;
    assert_close("large", 1e-5, &case.forward(Type::F32, &large)[0], &expected);
    for first in [0, 33] {
        // Channel 0: query 1, keys minus infinity for 35 pixels, more than one block; channel 1 has
        // zero queries.
        let mut qkv = vec![0.0; 420];
        qkv[..70].fill(1.0);
        qkv[70 + first..105 + first].fill(f64::NEG_INFINITY);
        qkv[140..210].iter_mut().enumerate().for_each(|(s, v)| *v = s as f64);
        let got = case.forward(Type::F32, &qkv);
        let rest: Vec<_> = (0..70).filter(|s| !(first..first + 35).contains(s)).collect();
        let mean = rest.iter().sum::<usize>() as f64 / rest.len() as f64;
        assert_close("minus infinity", 1e-5, &got[0][..70], &[mean; 70]);
    }
}

#[test]
fn nan_affects_only_its_query() {
    let case = Case { heads: 2, channels: 2, pixels: 9 };
    let mut qkv = values(Type::F32, 1, 108);
    qkv[3] = f64::NAN;
    let [y, _] = case.forward(Type::F32, &qkv);
    for (i, y) in y.iter().enumerate() {
        assert_eq!(y.is_nan(), i < 18 && i % 9 == 3, "{i}: {y}");
    }
}
