//! Vectors of eight: AVX2 with fused multiply-adds.

use std::arch::x86_64::*;

use super::vector::{QUADS, Run, Sum, VECTORS, Width};
use crate::isa::Avx2Fma;

/// Numbers of a vector.
const LANES: usize = 8;
/// Output channels of a tile.
const BLOCK: usize = 4;
/// Shuffles that take the even and the odd numbers of two vectors, in each half.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;
/// Shuffles that take the lower and the upper halves of two vectors' halves.
const LOW: i32 = 0b01_00_01_00;
const HIGH: i32 = 0b11_10_11_10;

/// The product of a weight, at so many bytes, with three vectors of pixels, `ymm12` to `ymm14`.
macro_rules! row {
    ($weight:literal, $a:literal, $b:literal, $c:literal) => {
        concat!(
            "vbroadcastss ymm15, dword ptr [{w} + ",
            $weight,
            "]\n",
            "vfmadd231ps ",
            $a,
            ", ymm15, ymm12\n",
            "vfmadd231ps ",
            $b,
            ", ymm15, ymm13\n",
            "vfmadd231ps ",
            $c,
            ", ymm15, ymm14\n",
        )
    };
}
/// A number of the kernel: pixels at so many rows and bytes, and the weights of four channels.
macro_rules! tap {
    ($rows:literal, $bytes:literal, $w0:literal, $w1:literal, $w2:literal, $w3:literal) => {
        concat!(
            "vmovups ymm12, [{x0}",
            $rows,
            $bytes,
            "]\n",
            "vmovups ymm13, [{x1}",
            $rows,
            $bytes,
            "]\n",
            "vmovups ymm14, [{x2}",
            $rows,
            $bytes,
            "]\n",
            row!($w0, "ymm0", "ymm1", "ymm2"),
            row!($w1, "ymm3", "ymm4", "ymm5"),
            row!($w2, "ymm6", "ymm7", "ymm8"),
            row!($w3, "ymm9", "ymm10", "ymm11"),
        )
    };
}
/// Loads or stores the accumulators: `vmovups a, b` with one of the two in memory.
macro_rules! accumulators {
    ($move:ident) => {
        concat!(
            $move!("ymm0", "0"),
            $move!("ymm1", "32"),
            $move!("ymm2", "64"),
            $move!("ymm3", "96"),
            $move!("ymm4", "128"),
            $move!("ymm5", "160"),
            $move!("ymm6", "192"),
            $move!("ymm7", "224"),
            $move!("ymm8", "256"),
            $move!("ymm9", "288"),
            $move!("ymm10", "320"),
            $move!("ymm11", "352"),
        )
    };
}
macro_rules! load {
    ($register:literal, $bytes:literal) => {
        concat!("vmovups ", $register, ", [{acc} + ", $bytes, "]\n")
    };
}
macro_rules! store {
    ($register:literal, $bytes:literal) => {
        concat!("vmovups [{acc} + ", $bytes, "], ", $register, "\n")
    };
}
/// Sums over `sum.channels`, at least one, what the taps of a channel add.
macro_rules! accumulate_taps {
    ($acc:ident, $weights:ident, $x:ident, $sum:ident, $weight_bytes:literal,
     [$($row:ident = $row_bytes:expr)?], $($tap:expr),+) => {
        std::arch::asm!(
            accumulators!(load),
            "2:",
            $($tap),+,
            concat!("add {w}, ", $weight_bytes),
            "add {x0}, {channel}",
            "add {x1}, {channel}",
            "add {x2}, {channel}",
            "dec {n}",
            "jnz 2b",
            accumulators!(store),
            acc = in(reg) $acc.as_mut_ptr(),
            w = inout(reg) $weights => _,
            x0 = inout(reg) $x[0] => _, x1 = inout(reg) $x[1] => _, x2 = inout(reg) $x[2] => _,
            channel = in(reg) $sum.channel_stride * size_of::<f32>(),
            $($row = in(reg) $row_bytes,)?
            n = inout(reg) $sum.channels => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _,
            out("ymm5") _, out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _,
            out("ymm10") _, out("ymm11") _, out("ymm12") _, out("ymm13") _, out("ymm14") _,
            out("ymm15") _,
            options(nostack),
        )
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

/// Quads `i` and `i + 1`, which follow on each other unless `NEAR` is 1.
///
/// # Safety
///
/// They are readable, and the processor has AVX2.
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

/// The opposite of [`load_two`].
///
/// # Safety
///
/// They are writable, and the processor has AVX2.
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
    unsafe fn load_quads<const NEAR: usize, const N: usize>(
        quads: &[*const f32; QUADS],
    ) -> [__m256; N] {
        unsafe {
            let mut vectors = [Self::splat(0.0); N];
            for (i, v) in vectors.iter_mut().enumerate() {
                *v = load_two::<NEAR>(quads, 2 * i);
            }
            vectors
        }
    }

    #[inline(always)]
    unsafe fn store_quads<const NEAR: usize, const N: usize>(
        quads: &[*mut f32; QUADS],
        v: [__m256; N],
    ) {
        for (i, v) in v.into_iter().enumerate() {
            unsafe { store_two::<NEAR>(quads, 2 * i, v) }
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
/// rate (44 instead of 90 GFLOP/s on a core of EPYC Milan). The registers are named: left to choose,
/// the compiler may find that sixteen are too few.
///
/// # Safety
///
/// As there.
#[target_feature(enable = "avx2,fma")]
unsafe fn accumulate_by_hand<const K: usize>(
    acc: &mut [[__m256; VECTORS]; BLOCK],
    weights: *const f32,
    x: [*const f32; VECTORS],
    sum: Sum,
) {
    if sum.channels == 0 {
        return;
    }
    // SAFETY: the caller vouches for all reads; the last increments may leave the buffers but are
    // not read through. `acc` is written as it lies: twelve vectors.
    unsafe {
        match K {
            1 => accumulate_taps!(
                acc,
                weights,
                x,
                sum,
                "16",
                [],
                tap!("", " + 0", "0", "4", "8", "12")
            ),
            _ => accumulate_taps!(
                acc,
                weights,
                x,
                sum,
                "144",
                [row = sum.row_stride * size_of::<f32>()],
                tap!("", " + 0", "0", "4", "8", "12"),
                tap!("", " + 4", "16", "20", "24", "28"),
                tap!("", " + 8", "32", "36", "40", "44"),
                tap!(" + {row}", " + 0", "48", "52", "56", "60"),
                tap!(" + {row}", " + 4", "64", "68", "72", "76"),
                tap!(" + {row}", " + 8", "80", "84", "88", "92"),
                tap!(" + 2*{row}", " + 0", "96", "100", "104", "108"),
                tap!(" + 2*{row}", " + 4", "112", "116", "120", "124"),
                tap!(" + 2*{row}", " + 8", "128", "132", "136", "140")
            ),
        }
    }
}
