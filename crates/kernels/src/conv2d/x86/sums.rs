//! The two inner loops of every convolution: products summed in a tile that fills the registers.
//!
//! Both are written once, for all [`Vector`]s. A tile has 12 sums of 16 registers (AVX2) or 24 of
//! 32 (AVX-512), next to three vectors of pixels and one factor. Left alone, the compiler loads the
//! operands of later products early, finds too few registers and spills sums to the stack, at half
//! the speed. [`Vector::hold`] after each product keeps the loads in their order, and no sum is
//! spilled.
//!
//! [`accumulate`] replaced inline assembly for AVX2. Instructions of an iteration, assembly before and
//! compiled code now:
//!
//! | loop | assembly | compiled |
//! |---|---|---|
//! | `accumulate`, k = 1, one channel | 25 | 23 |
//! | `accumulate`, k = 3, one channel | 177 | 175 |
//!
//! For AVX-512, [`multiply`] still spills in its callers; `avx512.rs` keeps its assembly.
//!
//! Results are the same to the last bit, because each sum has the same order of operations.
//! `cargo xtask bench --instructions` counts the instructions of the AVX2 kernels.

use super::run::Run;
use super::vector::{VECTORS, Vector};

/// Range of a sum over input channels.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    /// Input channels.
    pub(crate) channels: usize,
    /// Elements from a channel to the next.
    pub(crate) channel_stride: usize,
    /// Elements from an image row to the next.
    pub(crate) row_stride: usize,
}

/// Adds `Σ weights[c, u, v, r] · x[q][c, u, v..v + LANES]` to `acc[r][q]`, for a kernel of `K` by
/// `K`, 1 or 3, and `N` vectors of pixels, at most [`VECTORS`].
///
/// # Safety
///
/// As for [`Vector`]; `weights` holds `channels · K² · B` elements, and each of `x` all the rows
/// that the sum reads.
#[inline(always)]
pub(crate) unsafe fn accumulate<V: Vector<B>, const B: usize, const K: usize, const N: usize>(
    acc: &mut [[V::Register; N]; B],
    mut weights: *const f32,
    mut x: [*const f32; N],
    sum: Sum,
) {
    let mut sums = *acc;
    for _ in 0..sum.channels {
        let row = |u: usize| x.map(|x| x.wrapping_add(u * sum.row_stride));
        // SAFETY: the caller vouches for all reads. The last increments may leave the buffers, but
        // nothing is read there.
        unsafe {
            // A loop over rows would not be unrolled.
            accumulate_row::<V, B, K, N>(&mut sums, weights, row(0));
            if K == 3 {
                accumulate_row::<V, B, K, N>(&mut sums, weights.add(K * B), row(1));
                accumulate_row::<V, B, K, N>(&mut sums, weights.add(2 * K * B), row(2));
            }
        }
        weights = weights.wrapping_add(K * K * B);
        x = x.map(|x| x.wrapping_add(sum.channel_stride));
    }
    *acc = sums;
}

/// One channel and one row of the kernel of [`accumulate`].
///
/// # Safety
///
/// As for [`accumulate`].
#[inline(always)]
unsafe fn accumulate_row<V: Vector<B>, const B: usize, const K: usize, const N: usize>(
    sums: &mut [[V::Register; N]; B],
    weights: *const f32,
    x: [*const f32; N],
) {
    for v in 0..K {
        // SAFETY: passed on to the caller.
        unsafe {
            let pixels = x.map(|x| V::load(x.add(v)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let weight = V::splat(*weights.add(v * B + r));
                for (sum, pixels) in sums.iter_mut().zip(pixels) {
                    *sum = V::hold(V::fma(weight, pixels, *sum));
                }
            }
        }
    }
}

/// Adds `grads[r · stride + t] · x[q][t]` to `acc[q][r]` for all vectors `t` of a [`Run`], lane by
/// lane.
///
/// # Safety
///
/// As for [`Vector`]; the run lies within `B` rows of `grads`, `stride` apart, and within each of
/// `x`.
#[inline(always)]
pub(crate) unsafe fn multiply<V: Vector<B>, const B: usize>(
    acc: &mut [[V::Register; B]; VECTORS],
    grads: *const f32,
    stride: usize,
    [mut x0, mut x1, mut x2]: [*const f32; VECTORS],
    run: Run,
) {
    let mut sums = *acc;
    let grads: [*const f32; B] = std::array::from_fn(|r| opaque(grads.wrapping_add(r * stride)));
    // One index serves all pointers within a row; the gaps of `x` differ from those of `grads`.
    let mut at = 0;
    let x_step = run.x_gap.wrapping_sub(run.grad_gap);
    for _ in 0..run.rows {
        for _ in 0..run.vectors {
            // SAFETY: the caller vouches for all reads.
            unsafe {
                let x = [x0, x1, x2].map(|x| V::load(x.wrapping_add(at)));
                for (r, grads) in grads.iter().enumerate() {
                    let grad = V::load(grads.wrapping_add(at));
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[r] = V::hold(V::fma(grad, x, sums[r]));
                    }
                }
            }
            at += V::LANES;
        }
        at += run.grad_gap;
        x0 = x0.wrapping_add(x_step);
        x1 = x1.wrapping_add(x_step);
        x2 = x2.wrapping_add(x_step);
    }
    *acc = sums;
}

/// Returns `pointer`, hiding its origin from the compiler.
///
/// Otherwise the compiler derives the pointers to all rows from one of them and their distance,
/// which takes six more instructions per iteration than keeping them in registers.
#[inline(always)]
// The pointer is a number here: nothing is read or written through it.
#[allow(clippy::pointers_in_nomem_asm_block)]
fn opaque(mut pointer: *const f32) -> *const f32 {
    // SAFETY: no instruction; the register keeps its value.
    unsafe {
        std::arch::asm!(
            "/* {0} */",
            inout(reg) pointer,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    pointer
}
