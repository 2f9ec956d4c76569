//! The two sizes of tiles: products of their matrices with a row or a column, and loads and stores
//! of rows of tiles.

use crate::conv2d::x86::vector::{QUADS, Vector};

/// F(M×M, 3×3): tiles of `M` by `M` pixels of the output, from `N = M + 2` of the input.
///
/// # Safety
///
/// As for the functions of [`Vector`].
pub(super) trait Tile<const M: usize, const N: usize> {
    /// Loads the columns of a row of the input's tiles, starting at the first element of each quad.
    unsafe fn load_input<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [V::Register; N];
    /// Loads the columns of a row of tiles.
    unsafe fn load<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [V::Register; M];
    /// Inverse of [`Tile::load`].
    unsafe fn store<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*mut f32; QUADS],
        columns: [V::Register; M],
    );

    /// Computes `Bᵀ d`.
    unsafe fn input<V: Vector<B>, const B: usize>(d: [V::Register; N]) -> [V::Register; N];
    /// Computes `Aᵀ m`.
    unsafe fn output<V: Vector<B>, const B: usize>(m: [V::Register; N]) -> [V::Register; M];
    /// Computes `A y`.
    unsafe fn gradient<V: Vector<B>, const B: usize>(y: [V::Register; M]) -> [V::Register; N];

    /// Computes `G g`.
    unsafe fn kernel<V: Vector<B>, const B: usize>(g: [V::Register; 3]) -> [V::Register; N];
    /// Computes `Gᵀ u` for `L` kernels at a time.
    fn kernel_back<const L: usize>(u: [&[f32; L]; N]) -> [[f32; L]; 3];
}

/// Moves quads by `offset`. After the last channel they may leave the buffer, and are not used.
#[inline(always)]
pub(super) fn shifted(mut quads: [*const f32; QUADS], offset: usize) -> [*const f32; QUADS] {
    for quad in &mut quads {
        *quad = quad.wrapping_add(offset);
    }
    quads
}

/// Computes `a x + y`.
///
/// # Safety
///
/// As for the functions of [`Vector`].
#[inline(always)]
unsafe fn times<V: Vector<B>, const B: usize>(
    a: f32,
    x: V::Register,
    y: V::Register,
) -> V::Register {
    // SAFETY: passed on to the caller.
    unsafe { V::fma(V::splat(a), x, y) }
}

/// The [`Tile`] of `M` by `M` pixels.
pub(super) struct Size<const M: usize>;

/// F(2×2, 3×3), with the points 0, 1, −1 and ∞. A quad is a row of two tiles.
// SAFETY of the whole implementation: passed on to the trait's callers.
#[expect(clippy::undocumented_unsafe_blocks, reason = "stated once, above")]
impl Tile<2, 4> for Size<2> {
    #[inline(always)]
    unsafe fn load_input<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [V::Register; 4] {
        unsafe {
            let [d0, d1] = V::split(V::load_quads::<NEAR, 2>(quads));
            let [d2, d3] = V::split(V::load_quads::<NEAR, 2>(&shifted(*quads, 2)));
            [d0, d1, d2, d3]
        }
    }

    #[inline(always)]
    unsafe fn load<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [V::Register; 2] {
        unsafe { V::split(V::load_quads::<NEAR, 2>(quads)) }
    }

    #[inline(always)]
    unsafe fn store<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*mut f32; QUADS],
        columns: [V::Register; 2],
    ) {
        unsafe { V::store_quads::<NEAR, 2>(quads, V::weave(columns)) }
    }

    #[inline(always)]
    unsafe fn input<V: Vector<B>, const B: usize>(
        [d0, d1, d2, d3]: [V::Register; 4],
    ) -> [V::Register; 4] {
        unsafe { [V::sub(d0, d2), V::add(d1, d2), V::sub(d2, d1), V::sub(d1, d3)] }
    }

    #[inline(always)]
    unsafe fn output<V: Vector<B>, const B: usize>(
        [m0, m1, m2, m3]: [V::Register; 4],
    ) -> [V::Register; 2] {
        unsafe { [V::add(m0, V::add(m1, m2)), V::sub(V::sub(m1, m2), m3)] }
    }

    #[inline(always)]
    unsafe fn gradient<V: Vector<B>, const B: usize>(
        [y0, y1]: [V::Register; 2],
    ) -> [V::Register; 4] {
        unsafe { [y0, V::add(y0, y1), V::sub(y0, y1), V::sub(V::splat(0.0), y1)] }
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector<B>, const B: usize>(
        [a, b, c]: [V::Register; 3],
    ) -> [V::Register; 4] {
        unsafe {
            let outer = times::<V, B>(0.5, V::add(a, c), V::splat(0.0));
            [a, times::<V, B>(0.5, b, outer), times::<V, B>(-0.5, b, outer), c]
        }
    }

    #[inline(always)]
    fn kernel_back<const L: usize>([a, b, c, d]: [&[f32; L]; 4]) -> [[f32; L]; 3] {
        let mut rows = [[0.0; L]; 3];
        for i in 0..L {
            let (sum, difference) = (0.5 * (b[i] + c[i]), 0.5 * (b[i] - c[i]));
            rows[0][i] = a[i] + sum;
            rows[1][i] = difference;
            rows[2][i] = sum + d[i];
        }
        rows
    }
}

/// Points of F(4×4, 3×3), without 0 and ∞, and their powers.
const P: f32 = 2.0 / 3.0;
const P2: f32 = 4.0 / 9.0;
const P3: f32 = 8.0 / 27.0;
const Q: f32 = 3.0 / 2.0;
const Q2: f32 = 9.0 / 4.0;
const Q3: f32 = 27.0 / 8.0;
/// `P² + Q²`; `P Q` is 1.
const SUM: f32 = 97.0 / 36.0;

/// F(4×4, 3×3), with the points 0, ±2/3, ±3/2 and ∞. A quad is a row of one tile.
// SAFETY of the whole implementation: passed on to the trait's callers.
#[expect(clippy::undocumented_unsafe_blocks, reason = "stated once, above")]
impl Tile<4, 6> for Size<4> {
    #[inline(always)]
    unsafe fn load_input<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [V::Register; 6] {
        unsafe {
            let [d0, d1, d2, d3] = V::transpose(V::load_quads::<NEAR, 4>(quads));
            let [d4, d5, ..] = V::transpose(V::load_quads::<NEAR, 4>(&shifted(*quads, 4)));
            [d0, d1, d2, d3, d4, d5]
        }
    }

    #[inline(always)]
    unsafe fn load<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [V::Register; 4] {
        unsafe { V::transpose(V::load_quads::<NEAR, 4>(quads)) }
    }

    #[inline(always)]
    unsafe fn store<V: Vector<B>, const B: usize, const NEAR: usize>(
        quads: &[*mut f32; QUADS],
        columns: [V::Register; 4],
    ) {
        unsafe { V::store_quads::<NEAR, 4>(quads, V::transpose(columns)) }
    }

    #[inline(always)]
    unsafe fn input<V: Vector<B>, const B: usize>(
        [d0, d1, d2, d3, d4, d5]: [V::Register; 6],
    ) -> [V::Register; 6] {
        unsafe {
            let (even_p, odd_p) = (times::<V, B>(-Q2, d2, d4), times::<V, B>(-Q2, d1, d3));
            let (even_q, odd_q) = (times::<V, B>(-P2, d2, d4), times::<V, B>(-P2, d1, d3));
            [
                times::<V, B>(-SUM, d2, V::add(d0, d4)),
                times::<V, B>(P, odd_p, even_p),
                times::<V, B>(-P, odd_p, even_p),
                times::<V, B>(Q, odd_q, even_q),
                times::<V, B>(-Q, odd_q, even_q),
                times::<V, B>(-SUM, d3, V::add(d1, d5)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<V: Vector<B>, const B: usize>(
        [m0, m1, m2, m3, m4, m5]: [V::Register; 6],
    ) -> [V::Register; 4] {
        unsafe {
            let (even_p, odd_p) = (V::add(m1, m2), V::sub(m1, m2));
            let (even_q, odd_q) = (V::add(m3, m4), V::sub(m3, m4));
            let zero = V::splat(0.0);
            [
                V::add(m0, V::add(even_p, even_q)),
                times::<V, B>(P, odd_p, times::<V, B>(Q, odd_q, zero)),
                times::<V, B>(P2, even_p, times::<V, B>(Q2, even_q, zero)),
                times::<V, B>(P3, odd_p, times::<V, B>(Q3, odd_q, m5)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn gradient<V: Vector<B>, const B: usize>(
        [y0, y1, y2, y3]: [V::Register; 4],
    ) -> [V::Register; 6] {
        unsafe {
            let (even_p, odd_p) = (times::<V, B>(P2, y2, y0), times::<V, B>(P2, y3, y1));
            let (even_q, odd_q) = (times::<V, B>(Q2, y2, y0), times::<V, B>(Q2, y3, y1));
            [
                y0,
                times::<V, B>(P, odd_p, even_p),
                times::<V, B>(-P, odd_p, even_p),
                times::<V, B>(Q, odd_q, even_q),
                times::<V, B>(-Q, odd_q, even_q),
                y3,
            ]
        }
    }

    #[inline(always)]
    unsafe fn kernel<V: Vector<B>, const B: usize>(
        [a, b, c]: [V::Register; 3],
    ) -> [V::Register; 6] {
        unsafe {
            let zero = V::splat(0.0);
            let outer_p = times::<V, B>(-81.0 / 130.0, a, times::<V, B>(-18.0 / 65.0, c, zero));
            let outer_q = times::<V, B>(8.0 / 65.0, a, times::<V, B>(18.0 / 65.0, c, zero));
            [
                a,
                times::<V, B>(-27.0 / 65.0, b, outer_p),
                times::<V, B>(27.0 / 65.0, b, outer_p),
                times::<V, B>(12.0 / 65.0, b, outer_q),
                times::<V, B>(-12.0 / 65.0, b, outer_q),
                c,
            ]
        }
    }

    #[inline(always)]
    fn kernel_back<const L: usize>([u0, u1, u2, u3, u4, u5]: [&[f32; L]; 6]) -> [[f32; L]; 3] {
        let mut rows = [[0.0; L]; 3];
        for i in 0..L {
            let (even_p, odd_p) = (u1[i] + u2[i], u2[i] - u1[i]);
            let (even_q, odd_q) = (u3[i] + u4[i], u3[i] - u4[i]);
            rows[0][i] = u0[i] - 81.0 / 130.0 * even_p + 8.0 / 65.0 * even_q;
            rows[1][i] = 27.0 / 65.0 * odd_p + 12.0 / 65.0 * odd_q;
            rows[2][i] = 18.0 / 65.0 * (even_q - even_p) + u5[i];
        }
        rows
    }
}
