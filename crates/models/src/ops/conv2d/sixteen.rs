//! Vectors of sixteen: the foundation of AVX-512.

use std::arch::x86_64::*;

use super::eight::{load_two, store_two};
use super::width::{QUADS, Run, Sum, VECTORS, Width, accumulate};
use crate::ops::isa::Avx512;

/// Numbers of a vector.
const LANES: usize = 16;
/// Output channels of a tile: with three vectors of pixels, 24 accumulators of 32 registers.
const BLOCK: usize = 8;
/// Shuffles that take the even and the odd numbers of two vectors, in each quarter.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;
/// Shuffles that take the lower and the upper halves of two vectors' quarters.
const LOW: i32 = 0b01_00_01_00;
const HIGH: i32 = 0b11_10_11_10;

/// A mask of the first `lanes` of a vector, at most sixteen.
#[inline(always)]
fn mask(lanes: usize) -> __mmask16 {
    ((1u32 << lanes.min(LANES)) - 1) as __mmask16
}

/// The last eight numbers.
///
/// # Safety
///
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn high_half(v: __m512) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe { _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v))) }
}

/// Four quads from number `i` on; see [`load_two`].
///
/// # Safety
///
/// As there, with AVX-512F.
#[inline(always)]
unsafe fn load_four<const NEAR: usize>(quads: &[*const f32; QUADS], i: usize) -> __m512 {
    // SAFETY: passed on to the caller.
    unsafe {
        if NEAR == 4 {
            return _mm512_loadu_ps(quads[i]);
        }
        let low = _mm512_castps_pd(_mm512_castps256_ps512(load_two::<NEAR>(quads, i)));
        let high = _mm256_castps_pd(load_two::<NEAR>(quads, i + 2));
        _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high))
    }
}

/// The opposite of [`load_four`].
///
/// # Safety
///
/// As there; the quads are writable.
#[inline(always)]
unsafe fn store_four<const NEAR: usize>(quads: &[*mut f32; QUADS], i: usize, v: __m512) {
    // SAFETY: passed on to the caller.
    unsafe {
        if NEAR == 4 {
            return _mm512_storeu_ps(quads[i], v);
        }
        store_two::<NEAR>(quads, i, _mm512_castps512_ps256(v));
        store_two::<NEAR>(quads, i + 2, high_half(v));
    }
}

/// Sums of neighbours of two vectors, whose halves have been added up.
///
/// # Safety
///
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn two(a: __m512, b: __m512) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe {
        let a = _mm256_add_ps(_mm512_castps512_ps256(a), high_half(a));
        let b = _mm256_add_ps(_mm512_castps512_ps256(b), high_half(b));
        _mm256_hadd_ps(a, b)
    }
}

// SAFETY of all that follows: the trait's callers vouch for the instructions and the addresses.
#[expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]
impl Width<BLOCK> for Avx512 {
    type Vector = __m512;
    const LANES: usize = LANES;

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(at: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(at) }
    }

    #[inline(always)]
    unsafe fn load_first(at: *const f32, lanes: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(mask(lanes), at) }
    }

    #[inline(always)]
    unsafe fn store(at: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(at, v) }
    }

    #[inline(always)]
    unsafe fn store_first(at: *mut f32, lanes: usize, v: __m512) {
        unsafe { _mm512_mask_storeu_ps(at, mask(lanes), v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn load_quads<const NEAR: usize, const N: usize>(
        quads: &[*const f32; QUADS],
    ) -> [__m512; N] {
        unsafe {
            let mut vectors = [Self::splat(0.0); N];
            for (i, v) in vectors.iter_mut().enumerate() {
                *v = load_four::<NEAR>(quads, 4 * i);
            }
            vectors
        }
    }

    #[inline(always)]
    unsafe fn store_quads<const NEAR: usize, const N: usize>(
        quads: &[*mut f32; QUADS],
        v: [__m512; N],
    ) {
        for (i, v) in v.into_iter().enumerate() {
            unsafe { store_four::<NEAR>(quads, 4 * i, v) }
        }
    }

    #[inline(always)]
    unsafe fn split([a, b]: [__m512; 2]) -> [__m512; 2] {
        unsafe { [_mm512_shuffle_ps::<EVEN>(a, b), _mm512_shuffle_ps::<ODD>(a, b)] }
    }

    #[inline(always)]
    unsafe fn weave([even, odd]: [__m512; 2]) -> [__m512; 2] {
        unsafe { [_mm512_unpacklo_ps(even, odd), _mm512_unpackhi_ps(even, odd)] }
    }

    #[inline(always)]
    unsafe fn transpose([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
        unsafe {
            let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            [
                _mm512_shuffle_ps::<LOW>(ab, cd),
                _mm512_shuffle_ps::<HIGH>(ab, cd),
                _mm512_shuffle_ps::<LOW>(ab_high, cd_high),
                _mm512_shuffle_ps::<HIGH>(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn totals(v: &[__m512; BLOCK]) -> [f32; BLOCK] {
        let mut totals = [0f32; BLOCK];
        unsafe {
            let low = _mm256_hadd_ps(two(v[0], v[1]), two(v[2], v[3]));
            let high = _mm256_hadd_ps(two(v[4], v[5]), two(v[6], v[7]));
            let sums = _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(low, high),
                _mm256_permute2f128_ps::<0x31>(low, high),
            );
            _mm256_storeu_ps(totals.as_mut_ptr(), sums);
        }
        totals
    }

    #[inline(always)]
    unsafe fn multiply(
        acc: &mut [[__m512; BLOCK]; VECTORS],
        grads: *const f32,
        stride: usize,
        x: [*const f32; VECTORS],
        run: Run,
    ) {
        unsafe { multiply_by_hand(acc, grads, stride, x, run) }
    }

    #[inline(always)]
    unsafe fn accumulate<const K: usize>(
        acc: &mut [[__m512; VECTORS]; BLOCK],
        weights: *const f32,
        x: [*const f32; VECTORS],
        sum: Sum,
    ) {
        unsafe { accumulate::<Self, BLOCK, K, VECTORS>(acc, weights, x, sum) }
    }
}

/// [`Width::multiply`], because the compiler spills most of the 24 accumulators and halves the rate.
/// Not inlined: within a larger function it finds too few registers.
///
/// # Safety
///
/// As there.
#[target_feature(enable = "avx512f")]
#[inline(never)]
unsafe fn multiply_by_hand(
    acc: &mut [[__m512; BLOCK]; VECTORS],
    grads: *const f32,
    stride: usize,
    x: [*const f32; VECTORS],
    run: Run,
) {
    /// Bytes of a number.
    const SIZE: usize = size_of::<f32>();
    if run.rows * run.vectors == 0 {
        return;
    }
    // In memory, because registers are scarce.
    let constants = [run.vectors, run.gaps[0] * SIZE, run.gaps[1] * SIZE];
    let mut a = *acc;
    // SAFETY: the caller vouches for all reads: eight rows of `grads` and each of `x`, as long as
    // the run says. Nothing is written but registers.
    unsafe {
        std::arch::asm!(
            "2:",
            "mov {n}, [{c}]",
            "3:",
            "vmovups {x0}, [{p0}]",
            "vmovups {x1}, [{p1}]",
            "vmovups {x2}, [{p2}]",
            "vmovups {b}, [{g}]",
            "vfmadd231ps {a00}, {b}, {x0}",
            "vfmadd231ps {a10}, {b}, {x1}",
            "vfmadd231ps {a20}, {b}, {x2}",
            "vmovups {b}, [{g} + {s}]",
            "vfmadd231ps {a01}, {b}, {x0}",
            "vfmadd231ps {a11}, {b}, {x1}",
            "vfmadd231ps {a21}, {b}, {x2}",
            "vmovups {b}, [{g} + 2*{s}]",
            "vfmadd231ps {a02}, {b}, {x0}",
            "vfmadd231ps {a12}, {b}, {x1}",
            "vfmadd231ps {a22}, {b}, {x2}",
            "vmovups {b}, [{g} + {t}]",
            "vfmadd231ps {a03}, {b}, {x0}",
            "vfmadd231ps {a13}, {b}, {x1}",
            "vfmadd231ps {a23}, {b}, {x2}",
            "vmovups {b}, [{h}]",
            "vfmadd231ps {a04}, {b}, {x0}",
            "vfmadd231ps {a14}, {b}, {x1}",
            "vfmadd231ps {a24}, {b}, {x2}",
            "vmovups {b}, [{h} + {s}]",
            "vfmadd231ps {a05}, {b}, {x0}",
            "vfmadd231ps {a15}, {b}, {x1}",
            "vfmadd231ps {a25}, {b}, {x2}",
            "vmovups {b}, [{h} + 2*{s}]",
            "vfmadd231ps {a06}, {b}, {x0}",
            "vfmadd231ps {a16}, {b}, {x1}",
            "vfmadd231ps {a26}, {b}, {x2}",
            "vmovups {b}, [{h} + {t}]",
            "vfmadd231ps {a07}, {b}, {x0}",
            "vfmadd231ps {a17}, {b}, {x1}",
            "vfmadd231ps {a27}, {b}, {x2}",
            "add {p0}, 64",
            "add {p1}, 64",
            "add {p2}, 64",
            "add {g}, 64",
            "add {h}, 64",
            "dec {n}",
            "jnz 3b",
            "add {p0}, [{c} + 16]",
            "add {p1}, [{c} + 16]",
            "add {p2}, [{c} + 16]",
            "add {g}, [{c} + 8]",
            "add {h}, [{c} + 8]",
            "dec {rows}",
            "jnz 2b",
            g = inout(reg) grads => _,
            h = inout(reg) grads.wrapping_add(4 * stride) => _,
            s = in(reg) stride * SIZE,
            t = in(reg) 3 * stride * SIZE,
            p0 = inout(reg) x[0] => _,
            p1 = inout(reg) x[1] => _,
            p2 = inout(reg) x[2] => _,
            rows = inout(reg) run.rows => _,
            c = in(reg) constants.as_ptr(),
            n = out(reg) _,
            a00 = inout(zmm_reg) a[0][0],
            a01 = inout(zmm_reg) a[0][1],
            a02 = inout(zmm_reg) a[0][2],
            a03 = inout(zmm_reg) a[0][3],
            a04 = inout(zmm_reg) a[0][4],
            a05 = inout(zmm_reg) a[0][5],
            a06 = inout(zmm_reg) a[0][6],
            a07 = inout(zmm_reg) a[0][7],
            a10 = inout(zmm_reg) a[1][0],
            a11 = inout(zmm_reg) a[1][1],
            a12 = inout(zmm_reg) a[1][2],
            a13 = inout(zmm_reg) a[1][3],
            a14 = inout(zmm_reg) a[1][4],
            a15 = inout(zmm_reg) a[1][5],
            a16 = inout(zmm_reg) a[1][6],
            a17 = inout(zmm_reg) a[1][7],
            a20 = inout(zmm_reg) a[2][0],
            a21 = inout(zmm_reg) a[2][1],
            a22 = inout(zmm_reg) a[2][2],
            a23 = inout(zmm_reg) a[2][3],
            a24 = inout(zmm_reg) a[2][4],
            a25 = inout(zmm_reg) a[2][5],
            a26 = inout(zmm_reg) a[2][6],
            a27 = inout(zmm_reg) a[2][7],
            x0 = out(zmm_reg) _, x1 = out(zmm_reg) _, x2 = out(zmm_reg) _, b = out(zmm_reg) _,
            options(nostack, readonly),
        );
    }
    *acc = a;
}
