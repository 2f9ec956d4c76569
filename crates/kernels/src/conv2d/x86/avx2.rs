//! AVX2 with FMA: vectors of 8 elements.

use std::arch::asm;
use std::arch::x86_64::*;

use super::run::Run;
use super::sums::multiply;
use super::vector::{EVEN, HIGH, LOW, ODD, QUADS, VECTORS, Vector};
use crate::isa::Avx2Fma;

/// Elements of a vector.
const LANES: usize = 8;
/// Output channels of a tile: with three vectors of pixels, 12 sums in 16 registers.
const BLOCK: usize = 4;

/// Mask of the first `lanes` elements of a vector, at most all.
///
/// # Safety
///
/// The processor has AVX2.
#[inline(always)]
unsafe fn mask(lanes: usize) -> __m256i {
    static MASKS: [i32; 2 * LANES] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: eight elements from an index between 0 and 8 are within the 16. The caller vouches
    // for the instruction.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(LANES - lanes.min(LANES)).cast()) }
}

/// Loads quads `i` and `i + 1`, which are adjacent in memory unless `NEAR` is 1.
///
/// # Safety
///
/// The quads are readable, and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn load_two<const NEAR: usize>(quads: &[*const f32; QUADS], i: usize) -> __m256 {
    // SAFETY: passed on to the caller.
    unsafe {
        match NEAR {
            1 => _mm256_set_m128(_mm_loadu_ps(quads[i + 1]), _mm_loadu_ps(quads[i])),
            _ => _mm256_loadu_ps(quads[i]),
        }
    }
}

/// Inverse of [`load_two`].
///
/// # Safety
///
/// The quads are writable, and the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn store_two<const NEAR: usize>(quads: &[*mut f32; QUADS], i: usize, v: __m256) {
    // SAFETY: passed on to the caller.
    unsafe {
        if NEAR == 1 {
            _mm_storeu_ps(quads[i], _mm256_castps256_ps128(v));
            _mm_storeu_ps(quads[i + 1], _mm256_extractf128_ps::<1>(v));
        } else {
            _mm256_storeu_ps(quads[i], v);
        }
    }
}

// SAFETY of the whole implementation: the trait's callers vouch for instructions and addresses.
#[expect(clippy::undocumented_unsafe_blocks, reason = "stated once, above")]
impl Vector<BLOCK> for Avx2Fma {
    type Register = __m256;
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

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn hold(mut v: __m256) -> __m256 {
        unsafe { asm!("/* {0} */", inout(ymm_reg) v, options(nostack, preserves_flags)) };
        v
    }

    #[inline(always)]
    unsafe fn load_near<const NEAR: usize>(quads: &[*const f32; QUADS], first: usize) -> __m256 {
        unsafe { load_two::<NEAR>(quads, first) }
    }

    #[inline(always)]
    unsafe fn store_near<const NEAR: usize>(quads: &[*mut f32; QUADS], first: usize, v: __m256) {
        unsafe { store_two::<NEAR>(quads, first, v) }
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
    unsafe fn transpose([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
        unsafe {
            let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            [
                _mm256_shuffle_ps::<LOW>(ab, cd),
                _mm256_shuffle_ps::<HIGH>(ab, cd),
                _mm256_shuffle_ps::<LOW>(ab_high, cd_high),
                _mm256_shuffle_ps::<HIGH>(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        acc: &mut [[__m256; BLOCK]; VECTORS],
        grads: *const f32,
        stride: usize,
        x: [*const f32; VECTORS],
        run: Run,
    ) {
        unsafe { multiply::<Self, BLOCK>(acc, grads, stride, x, run) }
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
}
