//! Convolution with any window as a matrix product, for which what the window sees is gathered a tile
//! of places at a time.
//!
//! Nothing is unrolled in memory: a tile's columns, so many terms of the sum at a time, fit into the
//! first cache, and all outputs are multiplied with them there. Places are counted through the whole
//! batch, so that small images fill tiles, too.

use rayon::prelude::*;

use super::spread::{Segment, Spread};
use super::target::{Target, Way};
use super::{Images, Sizes};
use crate::buffer::with_scratch;
use crate::conv2d::width::{Sum, VECTORS, Width, compile_for_width};

/// Terms of a sum at a time, whose columns the first cache holds.
const DEPTH: usize = 192;

/// A convolution with bias and ReLU, its weight as the kernels read it.
pub(super) struct Gathered<W, const B: usize> {
    proof: W,
    /// `[O / B, terms, B]`; outputs beyond the last are zero.
    weight: Vec<f32>,
    /// What sums start from: the bias, then zeros.
    start: Vec<f32>,
    outputs: usize,
    terms: usize,
}

impl<W: Width<B>, const B: usize> Gathered<W, B> {
    /// Of a weight `[O, terms]`.
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

impl<W: Width<B>, const B: usize> Way for Gathered<W, B> {
    fn run(&self, x: Images<'_>, sizes: Sizes, target: Target) {
        let _proof = self.proof;
        let spread = Spread::new(sizes, W::LANES);
        let offsets = spread.offsets();
        assert_eq!(offsets.len(), self.terms, "the layer has checked the channels");
        let places = x.batch * sizes.outputs();
        let tile = VECTORS * W::LANES;
        // One row more: vectors of a row's last segment may end in the next.
        let panel = (DEPTH.min(self.terms) + 1) * tile;
        spread.with_source(x, |source| {
            (0..places.div_ceil(tile)).into_par_iter().for_each(|index| {
                let first = index * tile;
                let segments = spread.segments(first..places.min(first + tile));
                let task =
                    Task { weight: &self.weight, offsets: &offsets, source, segments: &segments };
                with_scratch(panel + self.start.len() * tile, |scratch| {
                    let (panel, sums) = scratch.split_at_mut(panel);
                    // SAFETY: `_proof`; the weight is of so many blocks and terms as `start` and
                    // `offsets` say, panel and sums are as long as they must be.
                    // No other tile has these places of the target.
                    unsafe {
                        run::<W, B>(&task, &self.start, panel, sums);
                        write::<W, B>(sums, self.outputs, &runs(&segments), target);
                    }
                });
            });
        });
    }
}

/// The segments of an image as one: its rows follow on each other in the output.
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
    /// The runs are within a tile, and nobody else writes their places of the target.
    unsafe fn write(sums: &[f32], outputs: usize, runs: &[Segment], target: Target) = write_of
}

/// # Safety
///
/// As [`write`].
#[inline(always)]
unsafe fn write_of<W: Width<B>, const B: usize>(
    sums: &[f32],
    outputs: usize,
    runs: &[Segment],
    target: Target,
) {
    for run in runs {
        for (output, sums) in sums.chunks_exact(VECTORS * W::LANES).take(outputs).enumerate() {
            let sums = &sums[run.at..][..run.len];
            let (vectors, rest) = sums.split_at(run.len / W::LANES * W::LANES);
            // SAFETY: the target has room for so many numbers, which is checked; the caller vouches
            // for the rest.
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
    /// Of each term: how far it is from the first.
    offsets: &'a [usize],
    source: &'a [f32],
    /// Where the tile's places see their first term.
    segments: &'a [Segment],
}

compile_for_width! {
    /// `max(0, start + weight · columns)` into `sums`, `[B · blocks, tile]`, of a tile of
    /// [`VECTORS`] vectors.
    ///
    /// # Safety
    ///
    /// The weight is `[blocks, offsets, B]` and `start` `[blocks, B]`; `panel` has a row of a tile for
    /// each of up to [`DEPTH`] terms and one more.
    unsafe fn run(task: &Task<'_>, start: &[f32], panel: &mut [f32], sums: &mut [f32]) = run_of
}

/// # Safety
///
/// As [`run`].
#[inline(always)]
unsafe fn run_of<W: Width<B>, const B: usize>(
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
            // SAFETY: a segment's vectors begin within a row, of which there is one more than terms.
            unsafe { gather::<W, B>(task, *offset, &mut panel[row..row + 2 * tile]) };
        }
        let sum = Sum { channels: offsets.len(), channel_stride: tile, row_stride: 0 };
        let last = first + offsets.len() == terms;
        let blocks = sums.chunks_exact_mut(B * tile).zip(start.chunks_exact(B)).enumerate();
        for (block, (sums, start)) in blocks {
            let weight = task.weight[(block * terms + first) * B..].as_ptr();
            let x = [0, 1, 2].map(|q| panel[q * W::LANES..].as_ptr());
            // SAFETY: the block's weights are so many terms from `first` on, the panel as many rows;
            // `sums` is of B rows.
            unsafe {
                let mut acc = [[W::splat(0.0); VECTORS]; B];
                for ((acc, start), sums) in acc.iter_mut().zip(start).zip(sums.chunks_exact(tile)) {
                    for (acc, sums) in acc.iter_mut().zip(sums.chunks_exact(W::LANES)) {
                        *acc = if first == 0 { W::splat(*start) } else { W::load(sums.as_ptr()) };
                    }
                }
                W::accumulate::<1>(&mut acc, weight, x, sum);
                for (acc, sums) in acc.iter().zip(sums.chunks_exact_mut(tile)) {
                    for (acc, sums) in acc.iter().zip(sums.chunks_exact_mut(W::LANES)) {
                        W::store(sums.as_mut_ptr(), *acc);
                    }
                }
            }
            if last {
                // Not `max`, which would hide a NaN.
                sums.iter_mut().for_each(|it| *it = if *it < 0.0 { 0.0 } else { *it });
            }
        }
    }
}

/// Writes what one term is at each of a tile's places, and after it numbers that mean nothing.
///
/// # Safety
///
/// `row` is two tiles long.
#[inline(always)]
unsafe fn gather<W: Width<B>, const B: usize>(task: &Task<'_>, offset: usize, row: &mut [f32]) {
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
