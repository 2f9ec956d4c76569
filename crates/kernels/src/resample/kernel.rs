//! Loops of resampling, which combine rows first and then columns.

use std::mem::MaybeUninit;

use super::Filter;
use crate::buffer::with_scratch;
use crate::isa::{Isa, compile_for_isa};

/// Relation of the two images: along an axis, `small[i] = Σ_u taps[u] · large[2i + u − padding]`.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) filter: Filter,
    pub(super) padding: usize,
    /// Rows and columns of the large image.
    pub(super) large: [usize; 2],
    /// Rows and columns of the small image.
    pub(super) small: [usize; 2],
}

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
    // Includes the zeros on both sides, and a column that the filter reads beyond an odd last
    // column.
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
    // A combined row with zeros on both sides for the filter, and the even and odd elements that it
    // spreads to.
    let row = columns + N;
    with_scratch(row + 2 * (columns + N / 2), |scratch| {
        let (sum, spread) = scratch.split_at_mut(row);
        let (even, odd) = spread.split_at_mut(columns + N / 2);
        spread_in(isa, plan, taps, small, large, sum, [even, odd]);
    });
}

compile_for_isa! {
    fn spread_in<const N: usize>(
        plan: &Plan,
        taps: [f32; N],
        small: &[f32],
        large: &mut [MaybeUninit<f32>],
        sum: &mut [f32],
        spread: [&mut [f32]; 2],
    ) = spread_by
}

#[inline(always)]
fn spread_by<const FMA: bool, const N: usize>(
    plan: &Plan,
    taps: [f32; N],
    small: &[f32],
    large: &mut [MaybeUninit<f32>],
    sum: &mut [f32],
    [even, odd]: [&mut [f32]; 2],
) {
    let ([rows, columns], [_, large_columns]) = (plan.small, plan.large);
    let half = N / 2;
    for (i, large) in large.chunks_exact_mut(large_columns).enumerate() {
        sum.fill(0.0);
        let row = i + plan.padding;
        // The taps for the parity of this row.
        for (h, tap) in taps.iter().skip(row % 2).step_by(2).enumerate() {
            match (row / 2).checked_sub(h) {
                Some(source) if source < rows => {
                    let image = &mut sum[half..][..columns];
                    add_row(image, *tap, &small[source * columns..][..columns]);
                }
                _ => (),
            }
        }
        even.fill(0.0);
        odd.fill(0.0);
        for h in 0..half {
            add_row(even, taps[2 * h], &sum[half - h..]);
            add_row(odd, taps[2 * h + 1], &sum[half - h..]);
        }
        // The padding removes the first even element, or nothing.
        match plan.padding {
            0 => interleave(even, odd, large),
            _ => interleave(odd, &even[1..], large),
        }
    }
}

/// Writes `a[0], b[0], a[1], …` until the target is full.
#[inline(always)]
fn interleave(a: &[f32], b: &[f32], target: &mut [MaybeUninit<f32>]) {
    let (pairs, rest) = target.as_chunks_mut::<2>();
    rest.iter_mut().for_each(|it| _ = it.write(a[pairs.len()]));
    for ((pair, a), b) in pairs.iter_mut().zip(a).zip(b) {
        *pair = [MaybeUninit::new(*a), MaybeUninit::new(*b)];
    }
}
