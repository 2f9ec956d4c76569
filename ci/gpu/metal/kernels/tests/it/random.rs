//! Values from the counter-based generator, bit for bit.

use super::launch::{Argument::*, Grid, Type, float, run, values, word};

pub const KERNELS: &[&str] = &["uniform", "dropout"];

/// Philox 4x32-10 as words of 64 bits.
fn philox(mut counter: [u64; 4], mut key: [u64; 2]) -> [u64; 4] {
    const LOW: u64 = 0xffff_ffff;
    for _ in 0..10 {
        let (a, b) = (0xd251_1f53 * counter[0], 0xcd9e_8d57 * counter[2]);
        counter =
            [(b >> 32) ^ counter[1] ^ key[0], b & LOW, (a >> 32) ^ counter[3] ^ key[1], a & LOW];
        key = [(key[0] + 0x9e37_79b9) & LOW, (key[1] + 0xbb67_ae85) & LOW];
    }
    counter
}

/// Checks this transcription of the generator with a known answer of the Random123 distribution.
#[test]
fn transcription_gives_known_answer() {
    let got =
        philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
    assert_eq!(got, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}

/// Position of a launch's values in the stream.
struct Stream {
    seed: u64,
    position: u64,
    stream: u32,
    length: usize,
    count: usize,
}

/// The counter of the last one begins just below 2^32 and crosses it.
const STREAMS: [Stream; 4] = [
    Stream { seed: 5, position: 0, stream: 0, length: 1, count: 1 },
    Stream { seed: 0x1234_5678_9abc_def0, position: 1 << 40, stream: 77, length: 35, count: 3 },
    Stream { seed: u64::MAX, position: 9, stream: 0x4000_0000, length: 1024, count: 2 },
    Stream { seed: 1 << 32, position: (1 << 32) - 1, stream: u32::MAX, length: 6, count: 2 },
];

impl Stream {
    fn constant(&self) -> Vec<u32> {
        let halves = |x: u64| [x as u32, (x >> 32) as u32];
        let [seed_low, seed_high] = halves(self.seed);
        let [low, high] = halves(self.position);
        // Two words of 64 bits make the size a multiple of eight bytes.
        let sizes = [self.stream, word(self.length), word(self.count), 0];
        [[seed_low, seed_high, low, high], sizes].concat()
    }

    /// Returns the upper 24 bits of every value's word.
    fn bits(&self) -> Vec<u64> {
        let (low, key) = (0xffff_ffff, [self.seed & 0xffff_ffff, self.seed >> 32]);
        let of = |i: usize| {
            let (position, element) = (self.position + (i / self.length) as u64, i % self.length);
            let block = (element / 4) as u64;
            let counter = [block, u64::from(self.stream), position & low, position >> 32];
            philox(counter, key)[element % 4] >> 8
        };
        (0..self.length * self.count).map(of).collect()
    }

    fn grid(&self) -> Grid {
        Grid::each(self.length.div_ceil(4) * self.count)
    }
}

#[test]
fn uniform_values() {
    for stream in &STREAMS {
        let expected: Vec<_> =
            stream.bits().iter().map(|it| (*it as f64 + 0.5) / f64::from(1 << 24)).collect();
        let arguments = [Output(Type::F32, expected.len()), Constant(stream.constant())];
        let got = run("uniform_f32", &arguments, &stream.grid());
        let rounded: Vec<_> = expected.iter().map(|it| f64::from(*it as f32)).collect();
        assert_eq!(got[0], rounded);
    }
}

#[test]
fn dropout_keeps_and_scales() {
    for &ty in Type::all() {
        for stream in &STREAMS {
            let bits = stream.bits();
            // The threshold is one of the values, which is kept.
            let (threshold, factor) = (bits[bits.len() / 2] as u32, 4.0 / 3.0);
            let x = values(ty, 1, bits.len());
            let arguments = [
                Input(ty, x.clone()),
                Output(ty, x.len()),
                Constant(stream.constant()),
                Constant(vec![threshold, float(factor)]),
            ];
            let name = format!("dropout_{}", ty.suffix());
            let got = run(&name, &arguments, &stream.grid());
            for ((x, bits), got) in x.iter().zip(&bits).zip(&got[0]) {
                let is_kept = u64::from(threshold) <= *bits;
                let expected = if is_kept { x * factor } else { 0.0 };
                assert!((got - expected).abs() <= ty.tolerance() * x.abs(), "{got} {expected}");
            }
        }
    }
}

#[test]
fn dropout_keeps_nan() {
    let x = vec![f64::NAN; 64];
    let stream = Stream { seed: 1, position: 2, stream: 3, length: 64, count: 1 };
    let factors = Constant(vec![1 << 23, float(2.0)]);
    let arguments =
        [Input(Type::F32, x), Output(Type::F32, 64), Constant(stream.constant()), factors];
    let got = run("dropout_f32", &arguments, &stream.grid());
    assert!(got[0].iter().all(|it| it.is_nan()));
}
