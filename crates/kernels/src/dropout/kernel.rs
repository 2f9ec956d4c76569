//! The masks of dropout, eight blocks of the generator at a time.

use std::mem::MaybeUninit;

use crate::isa::compile_for_isa;
use crate::noise::NoiseStream;

/// Number of blocks, of four words each, that are computed together.
const LANES: usize = 8;

compile_for_isa! {
    /// Writes 1 for each element of a sample whose uniform number is at least `p`, else 0.
    pub(super) fn keep(stream: NoiseStream, position: u64, p: f32, keep: &mut [u8]) = keep_of
}

#[inline(always)]
fn keep_of<const FMA: bool>(stream: NoiseStream, position: u64, p: f32, keep: &mut [u8]) {
    let threshold = threshold(p);
    for (i, keep) in keep.chunks_mut(4 * LANES).enumerate() {
        let words = words(stream, position, (i * LANES) as u32);
        // The four flags of a block as the bytes of an integer.
        let mut flags = [0u64; LANES];
        for (lane, flags) in flags.iter_mut().enumerate() {
            for (byte, words) in words.iter().enumerate() {
                *flags |= u64::from(threshold <= words[lane] >> 8) << (8 * byte);
            }
        }
        let mut stays = [0u8; 4 * LANES];
        for (stays, flags) in stays.as_chunks_mut::<4>().0.iter_mut().zip(flags) {
            *stays = (flags as u32).to_le_bytes();
        }
        keep.copy_from_slice(&stays[..keep.len()]);
    }
}

/// The smallest 24 random bits that [`NoiseStream::uniform_tensor`] maps to at least `p`.
pub(super) fn threshold(p: f32) -> u64 {
    let uniform = |bits: u32| (bits as f32 + 0.5) * 2f32.powi(-24);
    let (mut low, mut high) = (0, 1 << 24);
    while low < high {
        let middle = (low + high) / 2;
        if uniform(middle) < p { low = middle + 1 } else { high = middle }
    }
    u64::from(low)
}

compile_for_isa! {
    /// `y = x` times `factor` if kept, else times 0, which propagates NaN.
    pub(super) fn apply(x: &[f32], keep: &[u8], factor: f32, y: &mut [MaybeUninit<f32>])
        = apply_to
}

#[inline(always)]
fn apply_to<const FMA: bool>(x: &[f32], keep: &[u8], factor: f32, y: &mut [MaybeUninit<f32>]) {
    for ((y, x), keep) in y.iter_mut().zip(x).zip(keep) {
        y.write(x * (f32::from(*keep) * factor));
    }
}

/// [`NoiseStream::words`] of eight blocks starting at `first`; `[word][block]`.
///
/// The words are stored in 64 bits, for which processors have vector products.
#[inline(always)]
fn words(stream: NoiseStream, position: u64, first: u32) -> [[u64; LANES]; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u64; 2] = [0x9E37_79B9, 0xBB67_AE85];
    const ROUNDS: usize = 10;
    const LOW: u64 = 0xFFFF_FFFF;
    let mut key = [stream.seed & LOW, stream.seed >> 32];
    let mut counter = [
        std::array::from_fn(|lane| u64::from(first.wrapping_add(lane as u32))),
        [u64::from(stream.stream); LANES],
        [position & LOW; LANES],
        [position >> 32; LANES],
    ];
    for _ in 0..ROUNDS {
        let [c0, c1, c2, c3] = counter;
        for lane in 0..LANES {
            let a = MULTIPLIERS[0] * (c0[lane] & LOW);
            let b = MULTIPLIERS[1] * (c2[lane] & LOW);
            counter[0][lane] = (b >> 32) ^ c1[lane] ^ key[0];
            counter[1][lane] = b & LOW;
            counter[2][lane] = (a >> 32) ^ c3[lane] ^ key[1];
            counter[3][lane] = a & LOW;
        }
        key = [(key[0] + WEYL[0]) & LOW, (key[1] + WEYL[1]) & LOW];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_blocks_match_the_stream() {
        let stream = NoiseStream::new(0x1234_5678_9abc_def0, 77);
        let got = words(stream, 1 << 40 | 5, 16);
        for lane in 0..LANES {
            let expected = stream.words(1 << 40 | 5, 16 + lane as u32);
            assert_eq!(got.map(|words| words[lane] as u32), expected);
        }
    }
}
