//! Direct convolution with kernels of 1 and 3, without unrolling the image.
//!
//! One image, or several small ones, is copied with its padding to scratch memory that stays in the
//! second-level cache. A tile of 4 output channels and 24 pixels (AVX-512: 8 and 48) keeps its sums
//! in registers and adds the products of a block of input channels. The gradient with respect to
//! the input is the same convolution of the output's gradient, with the weights of
//! [`Weight::backward`](crate::conv2d::weight::Weight).

use std::ops::Range;

use super::sums::{Sum, accumulate};
use super::vector::{VECTORS, Vector, compile_for_width};
use crate::buffer::with_scratch;
use crate::conv2d::geometry::Geometry;
use crate::conv2d::padded::Padded;
use crate::conv2d::runner::Runner;
use crate::conv2d::source::Source;
use crate::conv2d::weight::Weight;

/// Fewest vectors of pixels of a task. Small images share one.
const TASK_VECTORS: usize = 48;

/// Convolution with `k` 1 or 3.
pub(in crate::conv2d) struct Direct<'a, V, const B: usize> {
    _proof: V,
    geometry: &'a Geometry,
    padded: Padded,
    packed: Vec<f32>,
    /// Initial value of the sums, for each output channel of each block.
    start: Vec<f32>,
    images: usize,
}

impl<'a, V: Vector<B>, const B: usize> Direct<'a, V, B> {
    pub(in crate::conv2d) fn new(
        proof: V,
        weight: &Weight<'_>,
        bias: Option<&[f32]>,
        geometry: &'a Geometry,
    ) -> Self {
        let padded = Padded::new(geometry, V::LANES);
        let mut start = bias.unwrap_or_default().to_vec();
        start.resize(geometry.outputs.next_multiple_of(B), 0.0);
        let vectors = padded.height * padded.row_vectors();
        let spread = geometry.batch.div_ceil(rayon::current_num_threads());
        let images = TASK_VECTORS.div_ceil(vectors).min(spread).max(1);
        Self { _proof: proof, geometry, padded, packed: weight.blocked(B), start, images }
    }
}

impl<V: Vector<B>, const B: usize> Runner for Direct<'_, V, B> {
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
                    1 => run::<V, B, 1>(&task, y),
                    _ => run::<V, B, 3>(&task, y),
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

/// Convolution of some images.
struct Task<'a> {
    geometry: &'a Geometry,
    padded: Padded,
    packed: &'a [f32],
    /// Initial value of the sums, for each output channel of each block.
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
    /// Convolves the images of a task.
    ///
    /// # Safety
    ///
    /// `images · outputs · pixels` elements of `y` are writable, and no other thread uses them. `K`
    /// is the geometry's kernel.
    unsafe fn run<const K: usize>(task: &Task<'_>, y: *mut f32) = run_of
}

/// # Safety
///
/// As for [`run`].
#[inline(always)]
unsafe fn run_of<V: Vector<B>, const B: usize, const K: usize>(task: &Task<'_>, y: *mut f32) {
    let &Geometry { inputs, outputs, .. } = task.geometry;
    // Input channels at a time: the rows of a tile stay in the first-level cache.
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
                // weights of a block hold `sum.channels · K² · B` elements from `offset`. Outputs
                // that the tile reads were written when `first` was 0.
                unsafe {
                    match count {
                        1 => tile.run::<V, B, K, 1>(&pixels),
                        2 => tile.run::<V, B, K, 2>(&pixels),
                        _ => tile.run::<V, B, K, VECTORS>(&pixels),
                    }
                }
            }
        }
    }
}

impl Task<'_> {
    /// Returns the addresses of `count` vectors starting at number `vector`: where to read them in
    /// input channel `channel`, and where to write them in output channel 0.
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
        // A tile of fewer vectors repeats its first one, which is not used.
        let places: [_; VECTORS] = std::array::from_fn(|q| place(if q < count { q } else { 0 }));
        Pixels {
            source: places.map(|(source, ..)| self.source[source..].as_ptr()),
            target: places.map(|(_, target, _)| y.wrapping_add(target)),
            lanes: places.map(|(.., lanes)| lanes),
        }
    }
}

impl Pixels {
    /// Moves the output by `offset` elements.
    fn down(self, offset: usize) -> Self {
        Self { target: self.target.map(|it| it.wrapping_add(offset)), ..self }
    }
}

/// Sums of a block of output channels over a block of input channels.
#[derive(Clone, Copy)]
struct Tile<'a> {
    weights: *const f32,
    /// Initial value of the sums; `None` continues the sums in the output.
    start: Option<&'a [f32]>,
    sum: Sum,
    /// Output channels in this block.
    rows: usize,
    /// Elements from an output channel to the next.
    stride: usize,
}

impl Tile<'_> {
    /// Adds the products of `N` vectors of pixels to the sums.
    ///
    /// # Safety
    ///
    /// As for [`accumulate`]. In each of the `rows` output channels, the first `lanes` elements of
    /// each of the first `N` targets are writable, and readable if there is no `start`.
    #[inline(always)]
    unsafe fn run<V: Vector<B>, const B: usize, const K: usize, const N: usize>(
        &self,
        pixels: &Pixels,
    ) {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut acc = self.load::<V, B, N>(pixels);
            let source = std::array::from_fn(|q| pixels.source[q]);
            accumulate::<V, B, K, N>(&mut acc, self.weights, source, self.sum);
            self.store::<V, B, N>(pixels, &acc);
        }
    }

    /// Returns the sums so far.
    ///
    /// # Safety
    ///
    /// As for [`Self::run`].
    #[inline(always)]
    unsafe fn load<V: Vector<B>, const B: usize, const N: usize>(
        &self,
        pixels: &Pixels,
    ) -> [[V::Register; N]; B] {
        // SAFETY: the caller vouches for these elements. Masked ones are not read.
        unsafe {
            let mut acc = [[V::splat(0.0); N]; B];
            match self.start {
                Some(start) => {
                    for (acc, start) in acc.iter_mut().zip(start) {
                        *acc = [V::splat(*start); N];
                    }
                }
                None => {
                    for (r, acc) in acc.iter_mut().enumerate().take(self.rows) {
                        for (q, acc) in acc.iter_mut().enumerate() {
                            let at = pixels.target[q].add(r * self.stride);
                            *acc = match pixels.lanes[q] {
                                lanes if lanes == V::LANES => V::load(at),
                                lanes => V::load_first(at, lanes),
                            };
                        }
                    }
                }
            }
            acc
        }
    }

    /// Writes the sums to the output.
    ///
    /// # Safety
    ///
    /// As for [`Self::run`].
    #[inline(always)]
    unsafe fn store<V: Vector<B>, const B: usize, const N: usize>(
        &self,
        pixels: &Pixels,
        acc: &[[V::Register; N]; B],
    ) {
        for (r, acc) in acc.iter().enumerate().take(self.rows) {
            for (q, acc) in acc.iter().enumerate() {
                // SAFETY: the caller vouches for these elements. Masked ones are not written.
                unsafe {
                    let at = pixels.target[q].add(r * self.stride);
                    match pixels.lanes[q] {
                        lanes if lanes == V::LANES => V::store(at, *acc),
                        lanes => V::store_first(at, lanes, *acc),
                    }
                }
            }
        }
    }
}
