//! Noise: the same numbers on both devices.

use candle_core::Device;
use kernels::noise::NoiseStream;

use crate::comparing::device;

/// Shapes with rows that are not multiples of four.
const SHAPES: [&[usize]; 4] = [&[5, 2, 3], &[1, 1], &[7], &[3, 4, 16, 16]];

const START: u64 = (1 << 33) + 5;

#[test]
fn uniform_numbers_have_the_same_bits() {
    let stream = NoiseStream::new(0x1234_5678_9abc_def0, 0x8000_0003);
    for shape in SHAPES {
        let [on_cpu, on_gpu] = [Device::Cpu, device()].map(|device| {
            let numbers = stream.uniform_tensor(START, shape, &device).unwrap();
            numbers.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        });
        assert_eq!(on_cpu, on_gpu);
    }
}

/// Two libraries compute logarithm and cosine in f64. After rounding to f32, few elements may
/// differ, and only in the last bit.
#[test]
fn normal_numbers_differ_in_the_last_bit_at_most() {
    let stream = NoiseStream::new(7, 3);
    let mut different = 0;
    for shape in SHAPES {
        let [on_cpu, on_gpu] = [Device::Cpu, device()].map(|device| {
            let numbers = stream.normal_tensor(START, shape, &device).unwrap();
            numbers.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        });
        for (a, b) in on_cpu.iter().zip(&on_gpu) {
            different += usize::from(a != b);
            assert!(a == b || a.next_up() == *b || a.next_down() == *b, "{a} and {b}");
        }
    }
    assert!(different < 5, "{different} numbers differ");
}

#[test]
fn a_batch_is_the_concatenation_of_its_parts() {
    let stream = NoiseStream::new(7, 3);
    let draw = |start: u64, rows: usize| {
        let numbers = stream.normal_tensor(START + start, (rows, 2, 3), &device()).unwrap();
        numbers.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(draw(0, 5), [draw(0, 2), draw(2, 3)].concat());
}
