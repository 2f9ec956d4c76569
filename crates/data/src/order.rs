//! Which image comes when: each epoch is a permutation, and no list of it is kept.
//!
//! # Why not a shuffled list
//!
//! A list costs 8 bytes an image and has to be rebuilt at each epoch and after each resume, and
//! ranks that meet an epoch's end within a batch need two. Here the permutation of an epoch is a
//! keyed bijection that is evaluated where it is needed: a generalised Feistel network on
//! `a x b >= N` cells (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"), followed
//! until it lands inside `0..N`. At most about √N cells lie outside, so nearly always at once.

use kernels::noise::NoiseStream;

/// The stream of random numbers that orders are read from.
pub const STREAM: u32 = 0xDA7A_0001;

/// Rounds of the network, each of which moves both halves; four already look random to any
/// polynomial test (Luby and Rackoff 1988), the rest are for tiny sets, where tests are strong.
const ROUNDS: u64 = 6;

/// The image at `position` of the stream of a data set of `len` images: position `p` belongs to
/// epoch `p / len`, and within an epoch every image comes exactly once.
///
/// Pure in its arguments. 0 if `len` is 0. `len` must be below 2^56.
///
/// ```
/// let mut epoch: Vec<usize> = (0..5).map(|p| uni_instruct_data::order::index_at(7, p, 5)).collect();
/// epoch.sort();
/// assert_eq!(epoch, [0, 1, 2, 3, 4]); // A permutation, whatever the seed.
/// ```
pub fn index_at(seed: u64, position: u64, len: usize) -> usize {
    let len = len as u64;
    if len == 0 {
        return 0;
    }
    let (epoch, mut cell) = (position / len, position % len);
    let stream = NoiseStream::new(seed, STREAM);
    // With one column the network could only rotate.
    let columns = len.isqrt().max(2);
    let rows = len.div_ceil(columns);
    // A bijection of the cells takes a path from inside back inside: this ends.
    loop {
        cell = permute(&stream, epoch, cell, rows, columns);
        if cell < len {
            return cell as usize;
        }
    }
}

/// A bijection of `0..rows · columns`.
fn permute(stream: &NoiseStream, epoch: u64, cell: u64, rows: u64, columns: u64) -> u64 {
    let (mut row, mut column) = (cell / columns, cell % columns);
    for round in 0..ROUNDS {
        let key = |half: u64, side: u64| ((half * ROUNDS + round) * 2 + side) as u32;
        row = (row + stream.below(epoch, key(column, 0), rows)) % rows;
        column = (column + stream.below(epoch, key(row, 1), columns)) % columns;
    }
    row * columns + column
}
