//! Convolution with any window as a matrix product. The elements under the window are gathered for
//! one tile of output pixels at a time.
//!
//! Images are not unrolled in memory: the columns of a tile, for some terms of the sum at a time,
//! fit into the first cache, where they are multiplied with all outputs. Tiles extend over the
//! whole batch, so that small images fill them.

use rayon::prelude::*;

use super::spread::{Segment, Spread};
use super::target::{Target, Way};
use super::{Images, Sizes};
use crate::buffer::with_scratch;
use crate::conv2d::x86::sums::{Sum, accumulate};
use crate::conv2d::x86::vector::{VECTORS, Vector, compile_for_width};

/// Terms of a sum at a time. Their columns fit into the first cache.
const DEPTH: usize = 192;

/// A convolution with bias and ReLU, with its weight in the order of the kernels.
pub(super) struct Gathered<W, const B: usize> {
    proof: W,
    /// `[O / B, terms, B]`; outputs beyond the last are zero.
    weight: Vec<f32>,
    /// Start values of the sums: the bias, then zeros.
    start: Vec<f32>,
    outputs: usize,
    terms: usize,
}

impl<W: Vector<B>, const B: usize> Gathered<W, B> {
    /// Prepares a weight `[O, terms]`.
    pub(super) fn new(proof: W, weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, terms) = (bias.len(), weight.len() / bias.len());
        let mut packed = vec![0.0; outputs.div_ceil(B) * terms * B];
        for (output, row) in weight.chunks_exact(terms).enumerate() {
            let packed = &mut packed[output / B * terms * B + output % B..];
            packed.iter_mut().step_by(B).zip(row).for_each(|(packed, weight)| *packed = *weight);
        }
        let mut start = bias.to_vec();
        start.resize(outputs.next_multiple_of(B), 0.0);
        Self { proof, weight: packed, start, outputs, terms }
    }
}

impl<W: Vector<B>, const B: usize> Way for Gathered<W, B> {
    fn run(&self, x: Images<'_>, sizes: Sizes, target: Target) {
        let _proof = self.proof;
        let spread = Spread::new(sizes, W::LANES);
        let offsets = spread.offsets();
        assert_eq!(offsets.len(), self.terms, "the layer has checked the channels");
        let places = x.batch * sizes.outputs();
        let tile = VECTORS * W::LANES;
        // One more row: vectors of a row's last segment may end in the next.
        let panel = (DEPTH.min(self.terms) + 1) * tile;
        spread.with_source(x, |source| {
            (0..places.div_ceil(tile)).into_par_iter().for_each(|index| {
                let first = index * tile;
                let segments = spread.segments(first..places.min(first + tile));
                let task =
                    Task { weight: &self.weight, offsets: &offsets, source, segments: &segments };
                with_scratch(panel + self.start.len() * tile, |scratch| {
                    let (panel, sums) = scratch.split_at_mut(panel);
                    // SAFETY: `_proof` shows that the instructions exist. The weight has the blocks
                    // of `start` and the terms of `offsets`, panel and sums have the required
                    // length, and no other tile has these output pixels.
                    unsafe {
                        run::<W, B>(&task, &self.start, panel, sums);
                        write::<W, B>(sums, self.outputs, &runs(&segments), target);
                    }
                });
            });
        });
    }
}

/// The segments of an image as one run, because its rows are consecutive in the output.
fn runs(segments: &[Segment]) -> Vec<Segment> {
    let mut runs: Vec<Segment> = Vec::new();
    for segment in segments {
        match runs.last_mut() {
            Some(run) if run.image == segment.image => run.len += segment.len,
            _ => runs.push(*segment),
        }
    }
    runs
}

compile_for_width! {
    /// Writes the sums of a tile, `max(0, sum)` of each, to `outputs` channels.
    ///
    /// # Safety
    ///
    /// The runs are within a tile, and no other thread writes their output pixels.
    unsafe fn write(sums: &[f32], outputs: usize, runs: &[Segment], target: Target) = write_of
}

/// # Safety
///
/// As [`write`].
#[inline(always)]
unsafe fn write_of<W: Vector<B>, const B: usize>(
    sums: &[f32],
    outputs: usize,
    runs: &[Segment],
    target: Target,
) {
    for run in runs {
        for (output, sums) in sums.chunks_exact(VECTORS * W::LANES).take(outputs).enumerate() {
            let sums = &sums[run.at..][..run.len];
            let (vectors, rest) = sums.split_at(run.len / W::LANES * W::LANES);
            // SAFETY: the length was checked; the caller guarantees the rest.
            unsafe {
                let at = target.place(run.image, output, run.place, run.len);
                for (i, sums) in vectors.chunks_exact(W::LANES).enumerate() {
                    W::store(at.add(i * W::LANES), W::load(sums.as_ptr()));
                }
                if !rest.is_empty() {
                    let sums = W::load_first(rest.as_ptr(), rest.len());
                    W::store_first(at.add(vectors.len()), rest.len(), sums);
                }
            }
        }
    }
}

/// A tile.
struct Task<'a> {
    weight: &'a [f32],
    /// Distance of each term from the first term.
    offsets: &'a [usize],
    source: &'a [f32],
    /// Output pixels of the tile, with the positions of their windows in `source`.
    segments: &'a [Segment],
}

compile_for_width! {
    /// `max(0, start + weight · columns)` into `sums`, `[B · blocks, tile]`, of a tile of
    /// [`VECTORS`] vectors.
    ///
    /// # Safety
    ///
    /// The weight is `[blocks, offsets, B]`, and `start` is `[blocks, B]`. `panel` has one row of a
    /// tile per term, for up to [`DEPTH`] terms, and one more.
    unsafe fn run(task: &Task<'_>, start: &[f32], panel: &mut [f32], sums: &mut [f32]) = run_of
}

/// # Safety
///
/// As [`run`].
#[inline(always)]
unsafe fn run_of<W: Vector<B>, const B: usize>(
    task: &Task<'_>,
    start: &[f32],
    panel: &mut [f32],
    sums: &mut [f32],
) {
    let tile = VECTORS * W::LANES;
    let terms = task.offsets.len();
    for (round, offsets) in task.offsets.chunks(DEPTH).enumerate() {
        let first = round * DEPTH;
        for (offset, row) in offsets.iter().zip((0..).step_by(tile)) {
            // SAFETY: the vectors of a segment begin within a row, and there is one more row than
            // terms.
            unsafe { gather::<W, B>(task, *offset, &mut panel[row..row + 2 * tile]) };
        }
        let sum = Sum { channels: offsets.len(), channel_stride: tile, row_stride: 0 };
        let last = first + offsets.len() == terms;
        let blocks = sums.chunks_exact_mut(B * tile).zip(start.chunks_exact(B)).enumerate();
        for (block, (sums, start)) in blocks {
            let weight = task.weight[(block * terms + first) * B..].as_ptr();
            let x = [0, 1, 2].map(|q| panel[q * W::LANES..].as_ptr());
            // SAFETY: the block has this number of terms starting at `first`, the panel has as
            // many rows, and `sums` has B rows.
            unsafe {
                let mut acc = [[W::splat(0.0); VECTORS]; B];
                for ((acc, start), sums) in acc.iter_mut().zip(start).zip(sums.chunks_exact(tile)) {
                    for (acc, sums) in acc.iter_mut().zip(sums.chunks_exact(W::LANES)) {
                        *acc = if first == 0 { W::splat(*start) } else { W::load(sums.as_ptr()) };
                    }
                }
                accumulate::<W, B, 1, VECTORS>(&mut acc, weight, x, sum);
                for (acc, sums) in acc.iter().zip(sums.chunks_exact_mut(tile)) {
                    for (acc, sums) in acc.iter().zip(sums.chunks_exact_mut(W::LANES)) {
                        W::store(sums.as_mut_ptr(), *acc);
                    }
                }
            }
            if last {
                // Not `max`, which would drop NaN.
                sums.iter_mut().for_each(|it| *it = if *it < 0.0 { 0.0 } else { *it });
            }
        }
    }
}

/// Writes one term's value for each output pixel of a tile, followed by arbitrary values.
///
/// # Safety
///
/// `row` is two tiles long.
#[inline(always)]
unsafe fn gather<W: Vector<B>, const B: usize>(task: &Task<'_>, offset: usize, row: &mut [f32]) {
    for segment in task.segments {
        let source = &task.source[segment.from + offset..];
        let target = &mut row[segment.at..];
        if segment.len.next_multiple_of(W::LANES) <= source.len() {
            for (source, target) in source
                .chunks_exact(W::LANES)
                .zip(target.chunks_exact_mut(W::LANES))
                .take(segment.len.div_ceil(W::LANES))
            {
                // SAFETY: both are a vector long.
                unsafe { W::store(target.as_mut_ptr(), W::load(source.as_ptr())) };
            }
        } else {
            target[..segment.len].copy_from_slice(&source[..segment.len])
        }
    }
}
