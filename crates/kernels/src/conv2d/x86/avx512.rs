//! AVX-512F: vectors of 16 elements.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2::{load_two, store_two};
use super::vector::{EVEN, HIGH, LOW, ODD, QUADS, Vector};
use crate::isa::Avx512;

/// Elements of a vector.
const LANES: usize = 16;
/// Output channels of a tile: with three vectors of pixels, 24 sums in 32 registers.
const BLOCK: usize = 8;

/// Mask of the first `lanes` elements of a vector, at most all.
#[inline(always)]
fn mask(lanes: usize) -> __mmask16 {
    ((1u32 << lanes.min(LANES)) - 1) as __mmask16
}

/// Returns the last eight elements.
///
/// # Safety
///
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn high_half(v: __m512) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe { _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v))) }
}

/// Sums of adjacent elements of two vectors, after adding their halves.
///
/// # Safety
///
/// The processor has AVX-512F.
#[inline(always)]
unsafe fn pair_sums(a: __m512, b: __m512) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe {
        let a = _mm256_add_ps(_mm512_castps512_ps256(a), high_half(a));
        let b = _mm256_add_ps(_mm512_castps512_ps256(b), high_half(b));
        _mm256_hadd_ps(a, b)
    }
}

// SAFETY of the whole implementation: the trait's callers vouch for instructions and addresses.
#[expect(clippy::undocumented_unsafe_blocks, reason = "stated once, above")]
impl Vector<BLOCK> for Avx512 {
    type Register = __m512;
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

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn hold(mut v: __m512) -> __m512 {
        unsafe { asm!("/* {0} */", inout(zmm_reg) v, options(nostack, preserves_flags)) };
        v
    }

    #[inline(always)]
    unsafe fn load_near<const NEAR: usize>(quads: &[*const f32; QUADS], first: usize) -> __m512 {
        unsafe {
            if NEAR == 4 {
                return _mm512_loadu_ps(quads[first]);
            }
            let low = _mm512_castps_pd(_mm512_castps256_ps512(load_two::<NEAR>(quads, first)));
            let high = _mm256_castps_pd(load_two::<NEAR>(quads, first + 2));
            _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, high))
        }
    }

    #[inline(always)]
    unsafe fn store_near<const NEAR: usize>(quads: &[*mut f32; QUADS], first: usize, v: __m512) {
        unsafe {
            if NEAR == 4 {
                return _mm512_storeu_ps(quads[first], v);
            }
            store_two::<NEAR>(quads, first, _mm512_castps512_ps256(v));
            store_two::<NEAR>(quads, first + 2, high_half(v));
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
            let low = _mm256_hadd_ps(pair_sums(v[0], v[1]), pair_sums(v[2], v[3]));
            let high = _mm256_hadd_ps(pair_sums(v[4], v[5]), pair_sums(v[6], v[7]));
            let sums = _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(low, high),
                _mm256_permute2f128_ps::<0x31>(low, high),
            );
            _mm256_storeu_ps(totals.as_mut_ptr(), sums);
        }
        totals
    }
}
