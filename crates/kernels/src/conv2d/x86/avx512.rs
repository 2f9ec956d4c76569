//! AVX-512F: vectors of 16 elements.
//!
//! [`Vector::multiply`] is inline assembly. We tried the generic [`multiply`](super::sums::multiply):
//! compiled as a separate function, it takes 38 instructions per vector of each row, but inlined
//! into its callers it spills vectors and takes 62 to 70. The assembly takes 42.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2::{load_two, store_two};
use super::run::Run;
use super::vector::{EVEN, HIGH, LOW, ODD, QUADS, VECTORS, Vector};
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

/// One of eight rows of the gradient, and the sums of its products with `zmm24` to `zmm26`.
macro_rules! row {
    ($grads:literal, $a:literal, $b:literal, $c:literal) => {
        concat!(
            "vmovups zmm27, [",
            $grads,
            "]\n",
            "vfmadd231ps ",
            $a,
            ", zmm27, zmm24\n",
            "vfmadd231ps ",
            $b,
            ", zmm27, zmm25\n",
            "vfmadd231ps ",
            $c,
            ", zmm27, zmm26\n",
        )
    };
}
/// Loads the sums of one of three vectors, which begin at byte offset `$bytes`.
macro_rules! load {
    ($bytes:literal, $($register:literal $offset:literal)+) => {
        concat!($("vmovups ", $register, ", [{n} + ", $bytes, " + ", $offset, "]\n"),+)
    };
}
/// Stores the sums of one of three vectors, which begin at byte offset `$bytes`.
macro_rules! store {
    ($bytes:literal, $($register:literal $offset:literal)+) => {
        concat!($("vmovups [{n} + ", $bytes, " + ", $offset, "], ", $register, "\n"),+)
    };
}
/// Loads or stores all sums.
macro_rules! accumulators {
    ($move:ident) => {
        concat!(
            $move!("0", "zmm0" "0" "zmm1" "64" "zmm2" "128" "zmm3" "192"
                   "zmm4" "256" "zmm5" "320" "zmm6" "384" "zmm7" "448"),
            $move!("512", "zmm8" "0" "zmm9" "64" "zmm10" "128" "zmm11" "192"
                   "zmm12" "256" "zmm13" "320" "zmm14" "384" "zmm15" "448"),
            $move!("1024", "zmm16" "0" "zmm17" "64" "zmm18" "128" "zmm19" "192"
                   "zmm20" "256" "zmm21" "320" "zmm22" "384" "zmm23" "448"),
        )
    };
}

/// [`Vector::multiply`] in assembly. The registers are named: left to choose, the compiler may find
/// that there are too few.
///
/// # Safety
///
/// As for [`multiply`](super::sums::multiply).
#[target_feature(enable = "avx512f")]
unsafe fn multiply_by_hand(
    acc: &mut [[__m512; BLOCK]; VECTORS],
    grads: *const f32,
    stride: usize,
    x: [*const f32; VECTORS],
    run: Run,
) {
    /// Bytes of an element.
    const SIZE: usize = size_of::<f32>();
    if run.rows * run.vectors == 0 {
        return;
    }
    // In memory, because registers are scarce.
    let constants =
        [run.vectors, run.grad_gap * SIZE, run.x_gap * SIZE, acc.as_mut_ptr().expose_provenance()];
    // SAFETY: the caller vouches for all reads: the run in eight rows of `grads` and in each of `x`.
    // `acc` is 24 adjacent vectors.
    unsafe {
        std::arch::asm!(
            "mov {n}, [{c} + 24]",
            accumulators!(load),
            "2:",
            "mov {n}, [{c}]",
            "3:",
            "vmovups zmm24, [{p0}]",
            "vmovups zmm25, [{p1}]",
            "vmovups zmm26, [{p2}]",
            row!("{g}", "zmm0", "zmm8", "zmm16"),
            row!("{g} + {s}", "zmm1", "zmm9", "zmm17"),
            row!("{g} + 2*{s}", "zmm2", "zmm10", "zmm18"),
            row!("{g} + {t}", "zmm3", "zmm11", "zmm19"),
            row!("{h}", "zmm4", "zmm12", "zmm20"),
            row!("{h} + {s}", "zmm5", "zmm13", "zmm21"),
            row!("{h} + 2*{s}", "zmm6", "zmm14", "zmm22"),
            row!("{h} + {t}", "zmm7", "zmm15", "zmm23"),
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
            "mov {n}, [{c} + 24]",
            accumulators!(store),
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
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _,
            out("zmm5") _, out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _,
            out("zmm10") _, out("zmm11") _, out("zmm12") _, out("zmm13") _, out("zmm14") _,
            out("zmm15") _, out("zmm16") _, out("zmm17") _, out("zmm18") _, out("zmm19") _,
            out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _, out("zmm24") _,
            out("zmm25") _, out("zmm26") _, out("zmm27") _,
            options(nostack),
        );
    }
}
