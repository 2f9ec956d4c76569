//! Metrics of public tools on two sets of 1000 × 64 features (`testdata/metrics`).

use super::{assert_close, testdata};
use crate::kid::kid_of_subsets;
use crate::*;

/// Reads the two sets: references `a`, generated `b`.
fn sets() -> [Matrix; 2] {
    let arrays = npz::read(&testdata("feats_resnet20_1000x64.npz")).unwrap();
    ["a", "b"].map(|name| match arrays[name].clone() {
        npz::Array { shape, values: npz::Values::F32(values) } => {
            assert_eq!(shape, [1000, 64]);
            Matrix::new("golden", values, 64).unwrap()
        }
        other => panic!("{:?}", other.shape),
    })
}

fn expected(path: &[&str]) -> f64 {
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(testdata("metrics.json")).unwrap()).unwrap();
    path.iter().fold(&json, |json, key| &json[key]).as_f64().unwrap()
}

#[test]
fn frechet_distance_agrees_with_four_public_tools() {
    let [a, b] = sets().map(|rows| Moments::of(&rows).gaussian().unwrap());
    let got = frechet_distance(&b, &a).unwrap();
    for tool in [
        "fid_eigh",
        "fid_pytorch_fid_0.3.0",
        "fid_clean_fid_0.1.35",
        "fid_torch_fidelity_0.4.0",
        "fid_torchmetrics_1.9.0",
    ] {
        assert_close(got, expected(&[tool]), 1e-11);
    }
}

#[test]
fn kid_over_whole_sets_agrees_with_three_public_tools() {
    let [a, b] = sets();
    let got = kid(&b, &a).unwrap();
    for tool in [
        "kid_clean_fid_0.1.35_subset1000x1",
        "kid_torch_fidelity_0.4.0_full_unbiased",
        "kid_torchmetrics_1.9.0_full",
    ] {
        assert_close(got, expected(&[tool]), 1e-12);
    }
}

/// The tool draws its subsets with NumPy's `RandomState(2020)`, and so does the test.
#[test]
fn kid_over_subsets_agrees_with_torch_fidelity() {
    let [a, b] = sets();
    let mut random = MersenneTwister::new(2020);
    let subsets = (0..10).map(|_| {
        [(); 2].map(|()| {
            let mut indices = random.permutation(1000);
            indices.truncate(200);
            indices
        })
    });
    let got = kid_of_subsets(&a, &b, subsets).unwrap();
    let tool = "kid_torch_fidelity_0.4.0_subsets10x200_seed2020";
    assert_close(got.mean, expected(&[tool, "kernel_inception_distance_mean"]), 1e-12);
    assert_close(got.std, expected(&[tool, "kernel_inception_distance_std"]), 1e-12);
}

#[test]
fn prdc_agrees_with_two_public_tools() {
    let [a, b] = sets();
    for (k, tool, single) in [
        (3, "prdc_0.2_k3_(real=a,fake=b)", "prc_torch_fidelity_0.4.0_k3_(1=generated=b,2=real=a)"),
        (5, "prdc_0.2_k5_(real=a,fake=b)", "prc_torch_fidelity_0.4.0_k5_(1=generated=b,2=real=a)"),
    ] {
        let got = prdc(&b, &a, k).unwrap();
        assert_close(got.precision, expected(&[tool, "precision"]), 1e-15);
        assert_close(got.recall, expected(&[tool, "recall"]), 1e-15);
        assert_close(got.density, expected(&[tool, "density"]), 1e-15);
        assert_close(got.coverage, expected(&[tool, "coverage"]), 1e-15);
        // The other tool computes in f32: equal after rounding to f32.
        assert_eq!(got.precision as f32, expected(&[single, "precision"]) as f32);
        assert_eq!(got.recall as f32, expected(&[single, "recall"]) as f32);
    }
}

/// MT19937 (Matsumoto and Nishimura 1998, doi:10.1145/272991.272995).
struct MersenneTwister {
    state: [u32; 624],
    used: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; 624];
        for i in 1..624 {
            let mixed = state[i - 1] ^ state[i - 1] >> 30;
            state[i] = mixed.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, used: 624 }
    }

    fn next(&mut self) -> u32 {
        if self.used == 624 {
            for i in 0..624 {
                let joined = self.state[i] & 0x8000_0000 | self.state[(i + 1) % 624] & 0x7fff_ffff;
                let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ joined >> 1 ^ twist;
            }
            self.used = 0;
        }
        let mut y = self.state[self.used];
        self.used += 1;
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c_5680;
        y ^= y << 15 & 0xefc6_0000;
        y ^ y >> 18
    }

    /// NumPy's `RandomState.permutation`: a shuffle from the end, with each index by masked
    /// rejection.
    fn permutation(&mut self, len: usize) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..len).collect();
        for i in (1..len).rev() {
            let mask = (i + 1).next_power_of_two() - 1;
            let j = loop {
                let j = self.next() as usize & mask;
                if j <= i {
                    break j;
                }
            };
            indices.swap(i, j);
        }
        indices
    }
}
