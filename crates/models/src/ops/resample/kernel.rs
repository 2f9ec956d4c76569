//! The loops of resampling: rows are combined first, then the columns of the result.

use std::mem::MaybeUninit;

use super::cpu::Plan;
use crate::ops::buffer::with_scratch;
use crate::ops::isa::{Isa, compile_for_isa};

/// Adds `factor · row` to `sum`.
#[inline(always)]
fn add_row(sum: &mut [f32], factor: f32, row: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(row) {
        *sum += factor * x;
    }
}

/// `small[i, j] = Σ_{u,v} taps[u] taps[v] · large[2i + u − p, 2j + v − p]`.
pub(super) fn reduce<const N: usize>(
    isa: Isa,
    plan: &Plan,
    taps: [f32; N],
    large: &[f32],
    small: &mut [MaybeUninit<f32>],
) {
    let [_, columns] = plan.large;
    // Room for the zeros on both sides, and for the filter to read beyond an odd last column.
    with_scratch(columns + 2 * plan.padding + N, |sum| {
        reduce_in(isa, plan, taps, large, small, sum)
    });
}

compile_for_isa! {
    fn reduce_in<const N: usize>(
        plan: &Plan,
        taps: [f32; N],
        large: &[f32],
        small: &mut [MaybeUninit<f32>],
        sum: &mut [f32],
    ) = reduce_by
}

#[inline(always)]
fn reduce_by<const FMA: bool, const N: usize>(
    plan: &Plan,
    taps: [f32; N],
    large: &[f32],
    small: &mut [MaybeUninit<f32>],
    sum: &mut [f32],
) {
    let ([rows, columns], [_, small_columns]) = (plan.large, plan.small);
    for (i, small) in small.chunks_exact_mut(small_columns).enumerate() {
        sum.fill(0.0);
        for (u, tap) in taps.iter().enumerate() {
            match (2 * i + u).checked_sub(plan.padding) {
                Some(row) if row < rows => {
                    let image = &mut sum[plan.padding..][..columns];
                    add_row(image, *tap, &large[row * columns..][..columns]);
                }
                _ => (),
            }
        }
        for (j, small) in small.iter_mut().enumerate() {
            let window = &sum[2 * j..][..N];
            small.write(window.iter().zip(&taps).map(|(x, tap)| x * tap).sum());
        }
    }
}

/// The transpose of [`reduce`].
pub(super) fn spread<const N: usize>(
    isa: Isa,
    plan: &Plan,
    taps: [f32; N],
    small: &[f32],
    large: &mut [MaybeUninit<f32>],
) {
    let [_, columns] = plan.small;
    // A combined row between N/2 − 1 zeros on both sides, and its image with a border.
    let bordered = columns + N - 2;
    let wide = 2 * (columns + N / 2 - 1);
    with_scratch(bordered + wide, |scratch| {
        let (sum, wide) = scratch.split_at_mut(bordered);
        spread_in(isa, plan, taps, small, large, sum, wide);
    });
}

compile_for_isa! {
    fn spread_in<const N: usize>(
        plan: &Plan,
        taps: [f32; N],
        small: &[f32],
        large: &mut [MaybeUninit<f32>],
        sum: &mut [f32],
        wide: &mut [f32],
    ) = spread_by
}

#[inline(always)]
fn spread_by<const FMA: bool, const N: usize>(
    plan: &Plan,
    taps: [f32; N],
    small: &[f32],
    large: &mut [MaybeUninit<f32>],
    sum: &mut [f32],
    wide: &mut [f32],
) {
    let ([rows, columns], [_, large_columns]) = (plan.small, plan.large);
    let half = N / 2;
    for (i, large) in large.chunks_exact_mut(large_columns).enumerate() {
        sum.fill(0.0);
        let row = i + plan.padding;
        // The taps whose distance to this row is even.
        for (h, tap) in taps.iter().skip(row % 2).step_by(2).enumerate() {
            match (row / 2).checked_sub(h) {
                Some(source) if source < rows => {
                    let image = &mut sum[half - 1..][..columns];
                    add_row(image, *tap, &small[source * columns..][..columns]);
                }
                _ => (),
            }
        }
        for (pair, window) in wide.as_chunks_mut::<2>().0.iter_mut().zip(sum.windows(half)) {
            // The window ends at the number that tap 0 takes.
            let mut even = 0.0;
            let mut odd = 0.0;
            for (h, x) in window.iter().rev().enumerate() {
                even += taps[2 * h] * x;
                odd += taps[2 * h + 1] * x;
            }
            *pair = [even, odd];
        }
        // Columns that no number reaches (the last of an odd width) are zero.
        let reached = wide.len().saturating_sub(plan.padding).min(large_columns);
        let (image, rest) = large.split_at_mut(reached);
        for (large, x) in image.iter_mut().zip(&wide[plan.padding..]) {
            large.write(*x);
        }
        rest.iter_mut().for_each(|it| _ = it.write(0.0));
    }
}
