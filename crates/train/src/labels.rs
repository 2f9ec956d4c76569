//! Classes of samples, drawn at a position.

use kernels::noise::NoiseStream;

/// A uniform class at a position.
pub fn class_at(random: &NoiseStream, position: u64, classes: usize) -> u32 {
    random.below(position, 0, classes as u64) as u32
}
