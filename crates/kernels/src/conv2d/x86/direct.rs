//! Direct convolution with kernels of 1 and 3: no unrolled image.
//!
//! One image at a time (or several small ones) is padded into scratch that stays in the second
//! cache; then each tile of 4 output channels and 24 pixels (8 and 48 with vectors of sixteen) keeps
//! its sums in registers while it goes over a block of input channels. The gradient by the input is
//! the same convolution of the output's gradient, with other weights (see
//! [`Weight::backward`](crate::conv2d::weight::Weight)).

use std::ops::Range;

use super::vector::{Sum, VECTORS, Width, accumulate, compile_for_width};
use crate::buffer::with_scratch;
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::runner::Runner;
use crate::conv2d::source::Source;
use crate::conv2d::weight::Weight;

/// Vectors of pixels that make a task worth its while: small images are taken together.
const TASK_VECTORS: usize = 48;

/// The convolution with `k` 1 or 3.
pub(in crate::conv2d) struct Direct<'a, W, const B: usize> {
    _proof: W,
    geometry: &'a Geometry,
    padded: Padded,
    packed: Vec<f32>,
    /// What the sums start from, for each output channel of each block.
    start: Vec<f32>,
    images: usize,
}

impl<'a, W: Width<B>, const B: usize> Direct<'a, W, B> {
    pub(in crate::conv2d) fn new(
        proof: W,
        weight: &Weight<'_>,
        bias: Option<&[f32]>,
        geometry: &'a Geometry,
    ) -> Self {
        let padded = Padded::new(geometry, W::LANES);
        let mut start = bias.unwrap_or_default().to_vec();
        start.resize(geometry.outputs.next_multiple_of(B), 0.0);
        let vectors = padded.height * padded.row_vectors();
        let spread = geometry.batch.div_ceil(rayon::current_num_threads());
        let images = TASK_VECTORS.div_ceil(vectors).min(spread).max(1);
        Self { _proof: proof, geometry, padded, packed: weight.blocked(B), start, images }
    }
}

impl<W: Width<B>, const B: usize> Runner for Direct<'_, W, B> {
    fn images(&self) -> usize {
        self.images
    }

    unsafe fn run(&self, source: &Source<'_>, samples: Range<usize>, y: *mut f32) {
        let &Self { geometry, padded, ref packed, ref start, .. } = self;
        let images = samples.len();
        let run = |source: &[f32]| {
            let task = Task { geometry, padded, packed, start, images, source };
            // SAFETY: `_proof`; passed on to the caller.
            unsafe {
                match geometry.kernel {
                    1 => run::<W, B, 1>(&task, y),
                    _ => run::<W, B, 3>(&task, y),
                }
            }
        };
        match source.as_plain(samples.clone()).filter(|_| padded.is_plain()) {
            Some(x) => run(x),
            None => with_scratch(images * geometry.inputs * padded.channel, |scratch| {
                source.fill(&padded, samples, scratch);
                run(scratch);
            }),
        }
    }
}

/// Some images of a convolution.
struct Task<'a> {
    geometry: &'a Geometry,
    padded: Padded,
    packed: &'a [f32],
    /// What the sums start from, for each output channel of each block.
    start: &'a [f32],
    images: usize,
    /// The images, padded.
    source: &'a [f32],
}

/// Up to three vectors of pixels.
#[derive(Clone, Copy)]
struct Pixels {
    source: [*const f32; VECTORS],
    target: [*mut f32; VECTORS],
    lanes: [usize; VECTORS],
}

compile_for_width! {
    /// # Safety
    ///
    /// `y` is valid for writing `images · outputs · pixels` numbers, which no other thread uses.
    /// `K` is the geometry's kernel.
    unsafe fn run<const K: usize>(task: &Task<'_>, y: *mut f32) = run_of
}

/// # Safety
///
/// As [`run`].
#[inline(always)]
unsafe fn run_of<W: Width<B>, const B: usize, const K: usize>(task: &Task<'_>, y: *mut f32) {
    let &Geometry { inputs, outputs, .. } = task.geometry;
    // As many input channels at a time as the first cache holds of a tile's rows.
    let depth = if K == 1 { 128 } else { 16 };
    let total = task.images * task.padded.height * task.padded.row_vectors();
    for first in (0..inputs).step_by(depth) {
        let sum = Sum {
            channels: depth.min(inputs - first),
            channel_stride: task.padded.channel,
            row_stride: task.padded.pitch,
        };
        for vector in (0..total).step_by(VECTORS) {
            let count = VECTORS.min(total - vector);
            let pixels = task.locate(vector, count, first, y);
            for block in 0..outputs.div_ceil(B) {
                let offset = (block * inputs + first) * K * K * B;
                let weights = task.packed[offset..].as_ptr();
                let start = (first == 0).then(|| &task.start[block * B..][..B]);
                let rows = B.min(outputs - block * B);
                let tile = Tile { weights, start, sum, rows, stride: task.geometry.pixels() };
                let pixels = pixels.down(block * B * tile.stride);
                // SAFETY: `locate` gives vectors within the padded images and the output; the
                // weights of a block hold `sum.channels · K² · B` numbers from `offset`. Outputs
                // that the tile reads were written when `first` was 0.
                unsafe {
                    match count {
                        1 => tile.few::<W, B, K, 1>(&pixels),
                        2 => tile.few::<W, B, K, 2>(&pixels),
                        _ => tile.full::<W, B, K>(&pixels),
                    }
                }
            }
        }
    }
}

impl Task<'_> {
    /// Where `count` vectors from number `vector` are read, at input channel `channel`, and
    /// written, at output channel 0.
    fn locate(&self, vector: usize, count: usize, channel: usize, y: *mut f32) -> Pixels {
        let (padded, lanes) = (&self.padded, self.padded.lanes);
        let (row_vectors, &Geometry { inputs, outputs, .. }) =
            (padded.row_vectors(), self.geometry);
        let place = |q: usize| {
            let (line, column) = ((vector + q) / row_vectors, (vector + q) % row_vectors * lanes);
            let (image, row) = (line / padded.height, line % padded.height);
            let source = (image * inputs + channel) * padded.channel + row * padded.pitch + column;
            let target = image * outputs * self.geometry.pixels() + row * padded.width + column;
            (source, target, lanes.min(padded.width - column))
        };
        // A tile of fewer vectors repeats its first, which is then not used.
        let places: [_; VECTORS] = std::array::from_fn(|q| place(if q < count { q } else { 0 }));
        Pixels {
            source: places.map(|(source, ..)| self.source[source..].as_ptr()),
            target: places.map(|(_, target, _)| y.wrapping_add(target)),
            lanes: places.map(|(.., lanes)| lanes),
        }
    }
}

impl Pixels {
    /// The same pixels, `offset` numbers on in the output.
    fn down(self, offset: usize) -> Self {
        Self { target: self.target.map(|it| it.wrapping_add(offset)), ..self }
    }
}

/// A block of output channels, over a block of input channels.
#[derive(Clone, Copy)]
struct Tile<'a> {
    weights: *const f32,
    /// What the sums start from; `None` continues from the output.
    start: Option<&'a [f32]>,
    sum: Sum,
    /// Output channels in this block.
    rows: usize,
    /// Numbers from an output channel to the next.
    stride: usize,
}

impl Tile<'_> {
    /// # Safety
    ///
    /// See [`Width::accumulate`]. The first `lanes` numbers of each target are valid for writing in
    /// each of the `rows` output channels, and hold sums to go on from if there is no `start`.
    #[inline(always)]
    unsafe fn full<W: Width<B>, const B: usize, const K: usize>(&self, pixels: &Pixels) {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut acc = self.load::<W, B, VECTORS>(pixels);
            W::accumulate::<K>(&mut acc, self.weights, pixels.source, self.sum);
            self.store::<W, B, VECTORS>(pixels, &acc);
        }
    }

    /// # Safety
    ///
    /// As [`Self::full`], of the first `N` vectors.
    #[inline(always)]
    unsafe fn few<W: Width<B>, const B: usize, const K: usize, const N: usize>(
        &self,
        pixels: &Pixels,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut acc = self.load::<W, B, N>(pixels);
            let source = std::array::from_fn(|q| pixels.source[q]);
            accumulate::<W, B, K, N>(&mut acc, self.weights, source, self.sum);
            self.store::<W, B, N>(pixels, &acc);
        }
    }

    /// # Safety
    ///
    /// As [`Self::full`].
    #[inline(always)]
    unsafe fn load<W: Width<B>, const B: usize, const N: usize>(
        &self,
        pixels: &Pixels,
    ) -> [[W::Vector; N]; B] {
        // SAFETY: the caller vouches for these numbers; masked ones are not read.
        unsafe {
            let mut acc = [[W::splat(0.0); N]; B];
            match self.start {
                Some(start) => {
                    for (acc, start) in acc.iter_mut().zip(start) {
                        *acc = [W::splat(*start); N];
                    }
                }
                None => {
                    for (r, acc) in acc.iter_mut().enumerate().take(self.rows) {
                        for (q, acc) in acc.iter_mut().enumerate() {
                            let at = pixels.target[q].add(r * self.stride);
                            *acc = match pixels.lanes[q] {
                                lanes if lanes == W::LANES => W::load(at),
                                lanes => W::load_first(at, lanes),
                            };
                        }
                    }
                }
            }
            acc
        }
    }

    /// # Safety
    ///
    /// As [`Self::full`].
    #[inline(always)]
    unsafe fn store<W: Width<B>, const B: usize, const N: usize>(
        &self,
        pixels: &Pixels,
        acc: &[[W::Vector; N]; B],
    ) {
        for (r, acc) in acc.iter().enumerate().take(self.rows) {
            for (q, acc) in acc.iter().enumerate() {
                // SAFETY: the caller vouches for these places; masked ones are not written.
                unsafe {
                    let at = pixels.target[q].add(r * self.stride);
                    match pixels.lanes[q] {
                        lanes if lanes == W::LANES => W::store(at, *acc),
                        lanes => W::store_first(at, lanes, *acc),
                    }
                }
            }
        }
    }
}
