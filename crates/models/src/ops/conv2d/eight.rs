//! Vectors of eight: AVX2 with fused multiply-adds.

use std::arch::x86_64::*;

use super::width::{QUADS, Run, Sum, VECTORS, Width};
use crate::ops::isa::Avx2Fma;

/// Numbers of a vector.
const LANES: usize = 8;
/// Output channels of a tile.
const BLOCK: usize = 4;
/// Shuffles that take the even and the odd numbers of two vectors, in each half.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;

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

/// A mask of the first `lanes` of a vector, at most eight.
#[inline(always)]
unsafe fn mask(lanes: usize) -> __m256i {
    static MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: from an index between 0 and 8, eight more are within the sixteen; the caller vouches
    // for the instruction.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(LANES - lanes.min(LANES)).cast()) }
}

/// Quads `i` and `i + 1`, which follow on each other if `PAIRS`.
///
/// # Safety
///
/// They are readable, and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn load_two<const PAIRS: bool>(quads: &[*const f32; QUADS], i: usize) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe {
        match PAIRS {
            true => _mm256_loadu_ps(quads[i]),
            false => _mm256_set_m128(_mm_loadu_ps(quads[i + 1]), _mm_loadu_ps(quads[i])),
        }
    }
}

/// The opposite of [`load_two`].
///
/// # Safety
///
/// They are writable, and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn store_two<const PAIRS: bool>(quads: &[*mut f32; QUADS], i: usize, v: __m256) {
    // SAFETY: passed on to the caller.
    unsafe {
        if PAIRS {
            _mm256_storeu_ps(quads[i], v);
        } else {
            _mm_storeu_ps(quads[i], _mm256_castps256_ps128(v));
            _mm_storeu_ps(quads[i + 1], _mm256_extractf128_ps::<1>(v));
        }
    }
}

// SAFETY of all that follows: the trait's callers vouch for the instructions and the addresses.
#[expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]
impl Width<BLOCK> for Avx2Fma {
    type Vector = __m256;
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn load_first(at: *const f32, lanes: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(at, mask(lanes)) }
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(at, v) }
    }

    #[inline(always)]
    unsafe fn store_first(at: *mut f32, lanes: usize, v: __m256) {
        unsafe { _mm256_maskstore_ps(at, mask(lanes), v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn load_quads<const PAIRS: bool>(quads: &[*const f32; QUADS]) -> [__m256; 2] {
        unsafe { [load_two::<PAIRS>(quads, 0), load_two::<PAIRS>(quads, 2)] }
    }

    #[inline(always)]
    unsafe fn store_quads<const PAIRS: bool>(quads: &[*mut f32; QUADS], v: [__m256; 2]) {
        for (i, v) in v.into_iter().enumerate() {
            unsafe { store_two::<PAIRS>(quads, 2 * i, v) }
        }
    }

    #[inline(always)]
    unsafe fn split([a, b]: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_shuffle_ps::<EVEN>(a, b), _mm256_shuffle_ps::<ODD>(a, b)] }
    }

    #[inline(always)]
    unsafe fn weave([even, odd]: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_unpacklo_ps(even, odd), _mm256_unpackhi_ps(even, odd)] }
    }

    #[inline(always)]
    unsafe fn totals(v: &[__m256; BLOCK]) -> [f32; BLOCK] {
        let mut totals = [0f32; BLOCK];
        unsafe {
            let sums = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
            let sums = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
            _mm_storeu_ps(totals.as_mut_ptr(), sums);
        }
        totals
    }

    #[inline(always)]
    unsafe fn multiply(
        acc: &mut [[__m256; BLOCK]; VECTORS],
        mut grads: *const f32,
        stride: usize,
        [mut x0, mut x1, mut x2]: [*const f32; VECTORS],
        run: Run,
    ) {
        let mut a = *acc;
        unsafe {
            for _ in 0..run.rows {
                for _ in 0..run.vectors {
                    let (v0, v1) = (_mm256_loadu_ps(x0), _mm256_loadu_ps(x1));
                    let v2 = _mm256_loadu_ps(x2);
                    let [a0, a1, a2] = &mut a;
                    let rows = a0.iter_mut().zip(a1).zip(a2).enumerate();
                    for (r, ((a0, a1), a2)) in rows {
                        let g = _mm256_loadu_ps(grads.add(r * stride));
                        *a0 = _mm256_fmadd_ps(g, v0, *a0);
                        *a1 = _mm256_fmadd_ps(g, v1, *a1);
                        *a2 = _mm256_fmadd_ps(g, v2, *a2);
                    }
                    grads = grads.wrapping_add(LANES);
                    x0 = x0.wrapping_add(LANES);
                    x1 = x1.wrapping_add(LANES);
                    x2 = x2.wrapping_add(LANES);
                }
                grads = grads.wrapping_add(run.gaps[0]);
                x0 = x0.wrapping_add(run.gaps[1]);
                x1 = x1.wrapping_add(run.gaps[1]);
                x2 = x2.wrapping_add(run.gaps[1]);
            }
        }
        *acc = a;
    }

    #[inline(always)]
    unsafe fn accumulate<const K: usize>(
        acc: &mut [[__m256; VECTORS]; BLOCK],
        weights: *const f32,
        x: [*const f32; VECTORS],
        sum: Sum,
    ) {
        unsafe { accumulate_by_hand::<K>(acc, weights, x, sum) }
    }
}

/// [`Width::accumulate`], because the compiler spills one of the twelve accumulators and halves the
/// rate (44 instead of 90 GFLOP/s on a core of EPYC Milan). Not inlined: within a larger function it
/// may find too few registers, which is an error of compilation.
///
/// # Safety
///
/// As there.
#[target_feature(enable = "avx2,fma")]
#[inline(never)]
unsafe fn accumulate_by_hand<const K: usize>(
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
