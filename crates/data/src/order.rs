//! Order of the images: each epoch is a permutation, which is computed and never stored as a list.
//!
//! # Why not a shuffled list
//!
//! A list costs 8 bytes per image and has to be rebuilt at each epoch and after each resume. A rank
//! whose batch contains the end of an epoch needs two lists. Here the permutation of an epoch is a
//! keyed bijection that is evaluated at a position: a generalized Feistel network on `a x b >= N`
//! cells (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"), repeated until it lands
//! inside `0..N`. At most about √N cells lie outside, so one evaluation is nearly always enough.

use kernels::noise::NoiseStream;

/// Noise stream of the order.
pub const STREAM: u32 = 0xDA7A_0001;

/// Rounds of the Feistel network, each of which moves both halves. Four rounds pass every
/// polynomial test (Luby and Rackoff 1988); the others serve tiny sets, for which tests are strong.
const ROUNDS: u64 = 6;

/// Returns the index of the image at `position` of the stream of a data set of `len` images.
///
/// Position `p` belongs to epoch `p / len`, and every image occurs exactly once in an epoch. The
/// result depends on the arguments alone, and is 0 if `len` is 0. `len` must be below 2^56.
///
/// ```
/// let mut epoch: Vec<usize> = (0..5).map(|p| uni_instruct_data::order::index_at(7, p, 5)).collect();
/// epoch.sort();
/// assert_eq!(epoch, [0, 1, 2, 3, 4]); // A permutation for every seed.
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
    // A bijection of the cells leads every path that starts inside back inside: the loop ends.
    loop {
        cell = permute(&stream, epoch, cell, rows, columns);
        if cell < len {
            return cell as usize;
        }
    }
}

/// Applies a bijection of `0..rows · columns`.
fn permute(stream: &NoiseStream, epoch: u64, cell: u64, rows: u64, columns: u64) -> u64 {
    let (mut row, mut column) = (cell / columns, cell % columns);
    for round in 0..ROUNDS {
        let key = |half: u64, side: u64| ((half * ROUNDS + round) * 2 + side) as u32;
        row = (row + stream.below(epoch, key(column, 0), rows)) % rows;
        column = (column + stream.below(epoch, key(row, 1), columns)) % columns;
    }
    row * columns + column
}
