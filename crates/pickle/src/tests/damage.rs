//! Files cut short at any byte, and files with random damage: an error or a value, never a panic.

use std::time::{Duration, Instant};

use super::files::{archive_bytes, edm_bytes, legacy_bytes, open_bytes, script_bytes};
use crate::{Contents, FileBytes, Limits, scan};

fn fixtures() -> [(&'static str, Vec<u8>); 4] {
    [
        ("edm", edm_bytes()),
        ("legacy", legacy_bytes()),
        ("archive", archive_bytes()),
        ("script", script_bytes()),
    ]
}

#[test]
fn every_prefix_is_an_error() {
    for (name, bytes) in fixtures() {
        open_bytes(bytes.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for length in 0..bytes.len() {
            let result = open_bytes(bytes[..length].to_vec());
            assert!(result.is_err(), "{name}: {length} of {} bytes were read", bytes.len());
        }
    }
}

/// SplitMix64 (Steele et al. 2014).
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % end.max(1) as u64) as usize
    }

    /// Damages a few bytes: changed, removed, added, or copied from elsewhere.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.below(256) as u8,
                2 => {
                    let end = (at + 1 + self.below(8)).min(bytes.len());
                    bytes.drain(at..end);
                }
                3 => {
                    let new: Vec<u8> = (0..=self.below(8)).map(|_| self.below(256) as u8).collect();
                    bytes.splice(at..at, new);
                }
                _ => {
                    let from = self.below(bytes.len());
                    let end = (from + self.below(64)).min(bytes.len());
                    let copy = bytes[from..end].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
    }
}

/// Reads everything that is read lazily.
fn read_all(contents: &Contents) -> usize {
    let networks = contents.networks.iter().flat_map(|it| &it.tensors);
    let dicts = contents.state_dicts.iter().flat_map(|it| &it.tensors);
    let tensors = networks.chain(dicts).filter_map(|it| Some(it.bytes().ok()?.len()));
    let storages = contents.storages.iter().filter_map(|it| Some(it.storage.content().ok()?.len()));
    let text = format!("{contents:?}").len();
    text + tensors.chain(storages).sum::<usize>()
}

#[test]
fn random_damage_never_panics() {
    const CASES: usize = 20_000;
    let limits = Limits::default();
    let fixtures = fixtures();
    let mut draws = Draws(4);
    let (mut read, mut longest) = (0, Duration::ZERO);
    for case in 0..CASES {
        let mut bytes = fixtures[case % fixtures.len()].1.clone();
        draws.damage(&mut bytes);
        let start = Instant::now();
        let file = FileBytes::new("x", bytes);
        if let Ok(contents) = crate::open(&file, &limits) {
            assert_ne!(read_all(&contents), 0);
            read += 1;
        }
        // The list is arbitrary; the scan must end.
        let _report = scan(&file, &limits);
        longest = longest.max(start.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "one case took {longest:?}");
    // Damage in the weights is not detected; damage in the structure is.
    assert!((CASES / 50..CASES / 2).contains(&read), "{read} of {CASES} were read");
}
