//! Noise of unusual shapes and positions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::{Device, Result, Tensor};
use uni_instruct_kernels::noise::NoiseStream;

use crate::misfits::first_line;

const STREAM: NoiseStream = NoiseStream::new(7, 9);

fn both(start: u64, shape: &[usize]) -> [Result<Tensor>; 2] {
    [
        STREAM.normal_tensor(start, shape, &Device::Cpu),
        STREAM.uniform_tensor(start, shape, &Device::Cpu),
    ]
}

#[test]
fn fills_any_shape() {
    for shape in [&[][..], &[0], &[1], &[3, 0], &[0, 3], &[2, 1, 1, 1], &[2, 3, 0, 5], &[1, 2, 5]] {
        for tensor in both(3, shape) {
            let tensor = tensor.unwrap();
            assert_eq!(tensor.dims(), shape);
            let numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(numbers.iter().all(|it| it.is_finite() && *it != 0.0), "{shape:?}");
        }
    }
}

#[test]
fn batches_end_at_the_last_position_at_most() {
    for tensor in both(u64::MAX, &[1, 3]).into_iter().chain(both(u64::MAX - 1, &[2, 3])) {
        assert!(tensor.is_ok());
    }
    for (start, rows) in [(u64::MAX, 2), (u64::MAX - 2, 4)] {
        for tensor in both(start, &[rows, 3]) {
            let message = first_line(&tensor.unwrap_err());
            assert!(message.contains("position"), "{message}");
        }
    }
}

#[test]
fn rejects_shapes_larger_than_memory() {
    for shape in [[usize::MAX, 2], [usize::MAX / 8, 3]] {
        let outcomes = catch_unwind(AssertUnwindSafe(|| both(0, &shape))).expect("no panic");
        for outcome in outcomes {
            let message = first_line(&outcome.unwrap_err());
            assert!(message.contains(&format!("{shape:?}")), "{message}");
        }
    }
}

#[test]
fn extremes_of_position_and_element_give_numbers() {
    for (position, element) in [(0, 0), (u64::MAX, u32::MAX), (1 << 32, u32::MAX - 1)] {
        let uniform = STREAM.uniform(position, element);
        assert!(0.0 < uniform && uniform < 1.0);
        assert!(STREAM.normal(position, element).is_finite());
        assert_eq!(STREAM.below(position, element, 0), 0);
        assert_eq!(STREAM.below(position, element, 1), 0);
    }
}
