//! The transforms of input, output, gradient and kernel (the matrices of the module above).
//!
//! Tiles come in vectors of eight: two groups of four neighbours in a row. Two loads per row of a
//! tile, a column apart, are split into even and odd columns by shuffles within the registers'
//! halves; the order of tiles that results is the same in every transform, so it cancels.

#![expect(clippy::needless_range_loop, reason = "columns of matrices held by rows")]

use std::arch::x86_64::*;

use super::PLACES;

/// Shuffles that take the even and the odd numbers of two vectors, in each half.
const EVEN: i32 = 0b10_00_10_00;
const ODD: i32 = 0b11_01_11_01;

/// [`input`] of `channels` channels: `[channel, row]` are the strides of the source, `[channel,
/// place]` those of the target.
///
/// # Safety
///
/// As there, for every channel.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn inputs(
    groups: [*const f32; 2],
    [channel, row]: [usize; 2],
    target: &mut [f32],
    [target_channel, place]: [usize; 2],
    channels: usize,
) {
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let target = target.as_mut_ptr().add(i * target_channel);
            input(groups.map(|it| it.add(i * channel)), row, target, place);
        }
    }
}

/// [`output`] of `channels` channels; strides as in [`inputs`].
///
/// # Safety
///
/// As there, for every channel, of which `bias`, if any, has one number each.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn outputs(
    sums: &[f32],
    [sums_channel, place]: [usize; 2],
    bias: Option<&[f32]>,
    groups: [*mut f32; 2],
    [channel, row]: [usize; 2],
    channels: usize,
) {
    for i in 0..channels {
        let bias = bias.map_or(0.0, |bias| bias[i]);
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let sums = sums.as_ptr().add(i * sums_channel);
            output(sums, place, bias, groups.map(|it| it.add(i * channel)), row);
        }
    }
}

/// [`gradient`] of `channels` channels; strides as in [`inputs`].
///
/// # Safety
///
/// As there, for every channel.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn gradients(
    groups: [*const f32; 2],
    [channel, row]: [[usize; 2]; 2],
    target: &mut [f32],
    [target_channel, place]: [usize; 2],
    channels: usize,
) {
    for i in 0..channels {
        // SAFETY: the caller vouches for all channels.
        unsafe {
            let target = target.as_mut_ptr().add(i * target_channel);
            let groups = [groups[0].add(i * channel[0]), groups[1].add(i * channel[1])];
            gradient(groups, row, target, place);
        }
    }
}

/// `Bᵀ d B` of eight tiles of a channel. Vector `place` is written to `target + place · stride`.
///
/// # Safety
///
/// The processor has AVX2 and FMA. From each group's start, ten numbers of four rows, `pitch`
/// apart, are readable; sixteen vectors from `target` are writable.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn input(groups: [*const f32; 2], pitch: usize, target: *mut f32, stride: usize) {
    let mut rows = [[_mm256_setzero_ps(); 4]; 4];
    for (i, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller vouches for these reads.
        let [a, b] = groups.map(|it| unsafe { _mm256_loadu_ps(it.add(i * pitch)) });
        // SAFETY: as above.
        let [c, d] = groups.map(|it| unsafe { _mm256_loadu_ps(it.add(i * pitch + 2)) });
        let (d0, d1) = (_mm256_shuffle_ps::<EVEN>(a, b), _mm256_shuffle_ps::<ODD>(a, b));
        let (d2, d3) = (_mm256_shuffle_ps::<EVEN>(c, d), _mm256_shuffle_ps::<ODD>(c, d));
        *row = [
            _mm256_sub_ps(d0, d2),
            _mm256_add_ps(d1, d2),
            _mm256_sub_ps(d2, d1),
            _mm256_sub_ps(d1, d3),
        ];
    }
    for j in 0..4 {
        let column = [
            _mm256_sub_ps(rows[0][j], rows[2][j]),
            _mm256_add_ps(rows[1][j], rows[2][j]),
            _mm256_sub_ps(rows[2][j], rows[1][j]),
            _mm256_sub_ps(rows[1][j], rows[3][j]),
        ];
        // SAFETY: the caller vouches for these writes.
        unsafe { store(column, target.add(j * stride), 4 * stride) };
    }
}

/// `Aᵀ m A + bias` of eight tiles of a channel, whose vectors are `stride` apart, written as two
/// rows of eight pixels, `width` apart, for each group.
///
/// # Safety
///
/// The processor has AVX2 and FMA; the sixteen vectors are readable, the rows writable.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn output(sums: *const f32, stride: usize, bias: f32, groups: [*mut f32; 2], width: usize) {
    let mut rows = [[_mm256_setzero_ps(); 4]; 2];
    for j in 0..4 {
        let [m0, m1, m2, m3]: [__m256; 4] = std::array::from_fn(|i| {
            // SAFETY: the caller vouches for these reads.
            unsafe { _mm256_loadu_ps(sums.add((4 * i + j) * stride)) }
        });
        rows[0][j] = _mm256_add_ps(m0, _mm256_add_ps(m1, m2));
        rows[1][j] = _mm256_sub_ps(_mm256_sub_ps(m1, m2), m3);
    }
    let bias = _mm256_set1_ps(bias);
    for (i, [m0, m1, m2, m3]) in rows.into_iter().enumerate() {
        let even = _mm256_add_ps(_mm256_add_ps(m0, bias), _mm256_add_ps(m1, m2));
        let odd = _mm256_add_ps(_mm256_sub_ps(_mm256_sub_ps(m1, m2), m3), bias);
        // SAFETY: the caller vouches for these writes.
        unsafe {
            _mm256_storeu_ps(groups[0].add(i * width), _mm256_unpacklo_ps(even, odd));
            _mm256_storeu_ps(groups[1].add(i * width), _mm256_unpackhi_ps(even, odd));
        }
    }
}

/// `A g Aᵀ` of eight tiles of the output's gradient, in two rows of eight pixels for each group,
/// `widths` apart; written as [`input`] does.
///
/// # Safety
///
/// The processor has AVX2 and FMA; the rows are readable, sixteen vectors writable.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn gradient(groups: [*const f32; 2], widths: [usize; 2], target: *mut f32, stride: usize) {
    let zero = _mm256_setzero_ps();
    let mut rows = [[zero; 4]; 2];
    for (i, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller vouches for these reads.
        let [a, b]: [__m256; 2] = std::array::from_fn(|group| unsafe {
            _mm256_loadu_ps(groups[group].add(i * widths[group]))
        });
        let (g0, g1) = (_mm256_shuffle_ps::<EVEN>(a, b), _mm256_shuffle_ps::<ODD>(a, b));
        *row = [g0, _mm256_add_ps(g0, g1), _mm256_sub_ps(g0, g1), _mm256_sub_ps(zero, g1)];
    }
    for j in 0..4 {
        let (g0, g1) = (rows[0][j], rows[1][j]);
        let column = [g0, _mm256_add_ps(g0, g1), _mm256_sub_ps(g0, g1), _mm256_sub_ps(zero, g1)];
        // SAFETY: the caller vouches for these writes.
        unsafe { store(column, target.add(j * stride), 4 * stride) };
    }
}

/// # Safety
///
/// The processor has AVX2; four vectors, `stride` apart, are writable.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn store(vectors: [__m256; 4], target: *mut f32, stride: usize) {
    for (i, vector) in vectors.into_iter().enumerate() {
        // SAFETY: the caller vouches for these writes.
        unsafe { _mm256_storeu_ps(target.add(i * stride), vector) };
    }
}

/// `G g Gᵀ` of one kernel.
#[inline]
pub(super) fn kernel(g: &[f32; 9]) -> [f32; PLACES] {
    let expand = |a: f32, b: f32, c: f32| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let mut columns = [[0f32; 4]; 3];
    for j in 0..3 {
        columns[j] = expand(g[j], g[3 + j], g[6 + j]);
    }
    let mut places = [0f32; PLACES];
    for i in 0..4 {
        let row = expand(columns[0][i], columns[1][i], columns[2][i]);
        places[4 * i..4 * i + 4].copy_from_slice(&row);
    }
    places
}

/// `Gᵀ u G`: the transpose of [`kernel`], which the weight's gradient goes through.
pub(super) fn kernel_transposed(u: &[f32; PLACES]) -> [f32; 9] {
    let contract =
        |a: f32, b: f32, c: f32, d: f32| [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d];
    let columns: [[f32; 3]; 4] =
        std::array::from_fn(|j| contract(u[j], u[4 + j], u[8 + j], u[12 + j]));
    let rows: [[f32; 3]; 3] = std::array::from_fn(|i| {
        contract(columns[0][i], columns[1][i], columns[2][i], columns[3][i])
    });
    std::array::from_fn(|tap| rows[tap / 3][tap % 3])
}
