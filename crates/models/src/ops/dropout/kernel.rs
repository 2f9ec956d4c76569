//! The masks of dropout, eight blocks of the generator at a time.

use crate::ops::isa::compile_for_isa;
use crate::ops::noise::NoiseStream;

/// Blocks (of four words each) that are computed side by side.
const LANES: usize = 8;

compile_for_isa! {
    /// Whether each number of a sample stays: where its uniform number is at least `p`.
    pub(super) fn keep(stream: NoiseStream, position: u64, p: f32, keep: &mut [u8]) = keep_of
}

#[inline(always)]
fn keep_of<const FMA: bool>(stream: NoiseStream, position: u64, p: f32, keep: &mut [u8]) {
    for (i, keep) in keep.chunks_mut(4 * LANES).enumerate() {
        let words = words(stream, position, (i * LANES) as u32);
        let mut stays = [0u8; 4 * LANES];
        for (lane, stays) in stays.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            for (stays, words) in stays.iter_mut().zip(&words) {
                // The uniform number of `NoiseStream::uniform_tensor`.
                let uniform = ((words[lane] >> 8) as f32 + 0.5) * 2f32.powi(-24);
                *stays = u8::from(p <= uniform);
            }
        }
        keep.copy_from_slice(&stays[..keep.len()]);
    }
}

/// [`NoiseStream::words`] of eight blocks from `first` on; `[word][block]`.
#[inline(always)]
fn words(stream: NoiseStream, position: u64, first: u32) -> [[u32; LANES]; 4] {
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    const ROUNDS: usize = 10;
    let mut key = [stream.seed as u32, (stream.seed >> 32) as u32];
    let mut counter = [
        std::array::from_fn(|lane| first.wrapping_add(lane as u32)),
        [stream.stream; LANES],
        [position as u32; LANES],
        [(position >> 32) as u32; LANES],
    ];
    for _ in 0..ROUNDS {
        let mut next = [[0u32; LANES]; 4];
        for lane in 0..LANES {
            let a = u64::from(MULTIPLIERS[0]) * u64::from(counter[0][lane]);
            let b = u64::from(MULTIPLIERS[1]) * u64::from(counter[2][lane]);
            next[0][lane] = (b >> 32) as u32 ^ counter[1][lane] ^ key[0];
            next[1][lane] = b as u32;
            next[2][lane] = (a >> 32) as u32 ^ counter[3][lane] ^ key[1];
            next[3][lane] = a as u32;
        }
        counter = next;
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_blocks_are_those_of_the_stream() {
        let stream = NoiseStream::new(0x1234_5678_9abc_def0, 77);
        let got = words(stream, 1 << 40 | 5, 16);
        for lane in 0..LANES {
            let expected = stream.words(1 << 40 | 5, 16 + lane as u32);
            assert_eq!(got.map(|words| words[lane]), expected);
        }
    }
}
