//! The innermost loop of convolution: four output channels by up to three vectors of pixels.

use std::arch::x86_64::*;

use super::padded::LANES;
use super::weight::BLOCK;

/// Vectors of pixels in a full tile: twelve accumulators, three pixels and a weight fill the
/// sixteen registers.
pub(super) const VECTORS: usize = 3;

/// What a tile sums over.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    /// Input channels.
    pub(super) channels: usize,
    /// Numbers from a channel to the next.
    pub(super) channel_stride: usize,
    /// Numbers from an image row to the next.
    pub(super) row_stride: usize,
}

macro_rules! row {
    ($weight:literal, $a:literal, $b:literal, $c:literal) => {
        concat!(
            "vbroadcastss {b:y}, dword ptr [{w} + ",
            $weight,
            "]\n",
            "vfmadd231ps {",
            $a,
            "}, {b:y}, {v0}\n",
            "vfmadd231ps {",
            $b,
            "}, {b:y}, {v1}\n",
            "vfmadd231ps {",
            $c,
            "}, {b:y}, {v2}\n",
        )
    };
}
macro_rules! tap {
    ($pixel:literal, $w0:literal, $w1:literal, $w2:literal, $w3:literal) => {
        concat!(
            "vmovups {v0}, [{x0} + ",
            $pixel,
            "]\n",
            "vmovups {v1}, [{x1} + ",
            $pixel,
            "]\n",
            "vmovups {v2}, [{x2} + ",
            $pixel,
            "]\n",
            row!($w0, "a00", "a01", "a02"),
            row!($w1, "a10", "a11", "a12"),
            row!($w2, "a20", "a21", "a22"),
            row!($w3, "a30", "a31", "a32"),
        )
    };
}
macro_rules! taps {
    ($acc:ident, $x0:expr, $x1:expr, $x2:expr, $w:expr, $($tap:expr),+) => {
        std::arch::asm!($($tap),+,
            x0 = in(reg) $x0, x1 = in(reg) $x1, x2 = in(reg) $x2, w = in(reg) $w,
            a00 = inout(ymm_reg) $acc[0][0], a01 = inout(ymm_reg) $acc[0][1],
            a02 = inout(ymm_reg) $acc[0][2], a10 = inout(ymm_reg) $acc[1][0],
            a11 = inout(ymm_reg) $acc[1][1], a12 = inout(ymm_reg) $acc[1][2],
            a20 = inout(ymm_reg) $acc[2][0], a21 = inout(ymm_reg) $acc[2][1],
            a22 = inout(ymm_reg) $acc[2][2], a30 = inout(ymm_reg) $acc[3][0],
            a31 = inout(ymm_reg) $acc[3][1], a32 = inout(ymm_reg) $acc[3][2],
            v0 = out(ymm_reg) _, v1 = out(ymm_reg) _, v2 = out(ymm_reg) _, b = out(ymm_reg) _,
            options(nostack, readonly, preserves_flags))
    };
}

/// `acc[r][q] += Σ weights[c, u, v, r] · x[q][c, u, v..v + 8]` for a kernel of `K` by `K`.
///
/// By hand, because the compiler spills one of the twelve accumulators and halves the rate
/// (44 instead of 90 GFLOP/s on a core of EPYC Milan).
///
/// # Safety
///
/// The processor has AVX2 and FMA. `K` is 1 or 3. `weights` is valid for `channels · K² · 4`
/// reads. Each of `x` is valid for 8 reads at every channel, row and column of the kernel.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn accumulate<const K: usize>(
    acc: &mut [[__m256; VECTORS]; BLOCK],
    mut weights: *const f32,
    [mut x0, mut x1, mut x2]: [*const f32; VECTORS],
    sum: Sum,
) {
    let mut a = *acc;
    // SAFETY: the caller vouches for all reads; the last increments may leave the buffers but are
    // not read through, hence `wrapping_add`.
    unsafe {
        for _ in 0..sum.channels {
            let (mut r0, mut r1, mut r2) = (x0, x1, x2);
            for _ in 0..K {
                if K == 3 {
                    taps!(
                        a,
                        r0,
                        r1,
                        r2,
                        weights,
                        tap!("0", "0", "4", "8", "12"),
                        tap!("4", "16", "20", "24", "28"),
                        tap!("8", "32", "36", "40", "44")
                    );
                } else {
                    taps!(a, r0, r1, r2, weights, tap!("0", "0", "4", "8", "12"));
                }
                weights = weights.wrapping_add(BLOCK * K);
                r0 = r0.wrapping_add(sum.row_stride);
                r1 = r1.wrapping_add(sum.row_stride);
                r2 = r2.wrapping_add(sum.row_stride);
            }
            x0 = x0.wrapping_add(sum.channel_stride);
            x1 = x1.wrapping_add(sum.channel_stride);
            x2 = x2.wrapping_add(sum.channel_stride);
        }
    }
    *acc = a;
}

/// [`accumulate`] for fewer vectors than a full tile, in the same order of operations.
///
/// # Safety
///
/// As there.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(super) unsafe fn accumulate_few<const K: usize, const N: usize>(
    acc: &mut [[__m256; N]; BLOCK],
    mut weights: *const f32,
    x: [*const f32; N],
    sum: Sum,
) {
    let mut a = *acc;
    for channel in 0..sum.channels {
        for u in 0..K {
            let offset = channel * sum.channel_stride + u * sum.row_stride;
            for v in 0..K {
                // SAFETY: the caller vouches for all reads.
                let pixels = x.map(|x| unsafe { _mm256_loadu_ps(x.add(offset + v)) });
                for (r, a) in a.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let weight = unsafe { _mm256_broadcast_ss(&*weights.add(r)) };
                    for (a, pixels) in a.iter_mut().zip(pixels) {
                        *a = _mm256_fmadd_ps(weight, pixels, *a);
                    }
                }
                weights = weights.wrapping_add(BLOCK);
            }
        }
    }
    *acc = a;
}

/// A mask of the first `lanes` of a vector, at most eight.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn mask(lanes: usize) -> __m256i {
    static MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: from an index between 0 and 8, eight more are within the sixteen.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(LANES - lanes.min(LANES)).cast()) }
}

/// The sum of the eight numbers.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn horizontal_sum(v: __m256) -> f32 {
    let a = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)))
}
