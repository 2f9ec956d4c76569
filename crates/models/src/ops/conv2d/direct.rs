//! Direct convolution with kernels of 1 and 3: no unrolled image.
//!
//! One image at a time (or several small ones) is padded into scratch that stays in the second
//! cache; then each tile of 4 output channels and 24 pixels keeps its sums in registers while it
//! goes over a block of input channels. The gradient by the input is the same convolution of the
//! output's gradient, with other weights (see [`Weight::backward`](super::weight::Weight)).

use std::arch::x86_64::*;

use rayon::prelude::*;

use super::geometry::Geometry;
use super::padded::{LANES, Padded};
use super::tile::{Sum, VECTORS, accumulate, accumulate_few, mask};
use super::weight::{BLOCK, Weight};
use crate::ops::buffer::{Output, with_scratch};
use crate::ops::isa::Avx2Fma;

/// Vectors of pixels that make a task worth its while: small images are taken together.
const TASK_VECTORS: usize = 48;

/// `y = weight * x + bias`, `k` 1 or 3.
pub(super) fn convolve(
    _proof: Avx2Fma,
    x: &[f32],
    weight: &Weight<'_>,
    bias: Option<&[f32]>,
    geometry: &Geometry,
) -> Vec<f32> {
    let padded = Padded::new(geometry);
    let packed = weight.blocked();
    let mut start = bias.unwrap_or_default().to_vec();
    start.resize(geometry.outputs.next_multiple_of(BLOCK), 0.0);
    let vectors = padded.height * padded.row_vectors();
    let spread = geometry.batch.div_ceil(rayon::current_num_threads());
    let images = TASK_VECTORS.div_ceil(vectors).min(spread).max(1);
    let (image_in, image_out) =
        (geometry.inputs * geometry.pixels(), geometry.outputs * geometry.pixels());
    let mut output = Output::new(geometry.output_len());
    let tasks = output.par_chunks(images * image_out).zip(x.par_chunks(images * image_in));
    tasks.for_each(|(y, x)| {
        let images = x.len() / image_in;
        let mut run = |source: &[f32]| {
            let task = Task { geometry, padded, packed: &packed, start: &start, images, source };
            // SAFETY: the processor has the features (`Avx2Fma`). `y` is the task's output.
            unsafe {
                match geometry.kernel {
                    1 => task.run::<1>(y.as_mut_ptr().cast()),
                    _ => task.run::<3>(y.as_mut_ptr().cast()),
                }
            }
        };
        if padded.is_plain() {
            run(x);
        } else {
            with_scratch(images * geometry.inputs * padded.channel, |scratch| {
                padded.fill(x, scratch);
                run(scratch);
            });
        }
    });
    // SAFETY: the tiles cover every pixel of every output channel.
    unsafe { output.assume_written() }
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

impl Task<'_> {
    /// # Safety
    ///
    /// The processor has AVX2 and FMA. `y` is valid for writing `images · outputs · pixels`
    /// numbers, which no other thread uses. `K` is the geometry's kernel.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn run<const K: usize>(&self, y: *mut f32) {
        let &Geometry { inputs, outputs, .. } = self.geometry;
        // As many input channels at a time as the first cache holds of a tile's rows.
        let depth = if K == 1 { 128 } else { 16 };
        let total = self.images * self.padded.height * self.padded.row_vectors();
        for first in (0..inputs).step_by(depth) {
            let sum = Sum {
                channels: depth.min(inputs - first),
                channel_stride: self.padded.channel,
                row_stride: self.padded.pitch,
            };
            for vector in (0..total).step_by(VECTORS) {
                let count = VECTORS.min(total - vector);
                let pixels = self.locate(vector, count, first, y);
                for block in 0..outputs.div_ceil(BLOCK) {
                    let offset = (block * inputs + first) * K * K * BLOCK;
                    let weights = self.packed[offset..].as_ptr();
                    let start = (first == 0).then(|| &self.start[block * BLOCK..][..BLOCK]);
                    let rows = BLOCK.min(outputs - block * BLOCK);
                    let tile = Tile { weights, start, sum, rows, stride: self.geometry.pixels() };
                    let pixels = pixels.down(block * BLOCK * tile.stride);
                    // SAFETY: the caller vouches for the features. `locate` gives vectors within
                    // the padded images and the output; the weights of a block hold
                    // `sum.channels · K² · 4` numbers from `offset`. Outputs that the tile reads
                    // were written when `first` was 0.
                    unsafe {
                        match count {
                            1 => tile.few::<K, 1>(&pixels),
                            2 => tile.few::<K, 2>(&pixels),
                            _ => tile.full::<K>(&pixels),
                        }
                    }
                }
            }
        }
    }

    /// Where `count` vectors from number `vector` are read, at input channel `channel`, and
    /// written, at output channel 0.
    fn locate(&self, vector: usize, count: usize, channel: usize, y: *mut f32) -> Pixels {
        let padded = &self.padded;
        let (row_vectors, &Geometry { inputs, outputs, .. }) =
            (padded.row_vectors(), self.geometry);
        let place = |q: usize| {
            let (line, column) = ((vector + q) / row_vectors, (vector + q) % row_vectors * LANES);
            let (image, row) = (line / padded.height, line % padded.height);
            let source = (image * inputs + channel) * padded.channel + row * padded.pitch + column;
            let target = image * outputs * self.geometry.pixels() + row * padded.width + column;
            (source, target, LANES.min(padded.width - column))
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
    /// The processor has AVX2 and FMA; see [`accumulate`]. The first `lanes` numbers of each
    /// target are valid for writing in each of the `rows` output channels, and hold sums to go
    /// on from if there is no `start`.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn full<const K: usize>(&self, pixels: &Pixels) {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut acc = self.load(pixels);
            accumulate::<K>(&mut acc, self.weights, pixels.source, self.sum);
            self.store(pixels, &acc);
        }
    }

    /// # Safety
    ///
    /// As [`Self::full`], of the first `N` vectors.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn few<const K: usize, const N: usize>(&self, pixels: &Pixels) {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut acc = self.load::<N>(pixels);
            let source = std::array::from_fn(|q| pixels.source[q]);
            accumulate_few::<K, N>(&mut acc, self.weights, source, self.sum);
            self.store(pixels, &acc);
        }
    }

    /// # Safety
    ///
    /// As [`Self::full`].
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn load<const N: usize>(&self, pixels: &Pixels) -> [[__m256; N]; BLOCK] {
        let mut acc = [[_mm256_setzero_ps(); N]; BLOCK];
        match self.start {
            Some(start) => {
                for (acc, start) in acc.iter_mut().zip(start) {
                    acc.fill(_mm256_set1_ps(*start));
                }
            }
            None => {
                for (r, acc) in acc.iter_mut().enumerate().take(self.rows) {
                    for (q, acc) in acc.iter_mut().enumerate() {
                        // SAFETY: the caller vouches for these numbers; masked ones are not read.
                        *acc = unsafe {
                            let at = pixels.target[q].add(r * self.stride);
                            match pixels.lanes[q] {
                                LANES => _mm256_loadu_ps(at),
                                lanes => _mm256_maskload_ps(at, mask(lanes)),
                            }
                        };
                    }
                }
            }
        }
        acc
    }

    /// # Safety
    ///
    /// As [`Self::full`].
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn store<const N: usize>(&self, pixels: &Pixels, acc: &[[__m256; N]; BLOCK]) {
        for (r, acc) in acc.iter().enumerate().take(self.rows) {
            for (q, acc) in acc.iter().enumerate() {
                // SAFETY: the caller vouches for these places; masked ones are not written.
                unsafe {
                    let at = pixels.target[q].add(r * self.stride);
                    match pixels.lanes[q] {
                        LANES => _mm256_storeu_ps(at, *acc),
                        lanes => _mm256_maskstore_ps(at, mask(lanes), *acc),
                    }
                }
            }
        }
    }
}
