//! The two sizes of tiles: what their matrices do to a row or a column, and how a row of tiles is
//! read from an image and written to it.

use crate::conv2d::x86::vector::{QUADS, Width};

/// F(M×M, 3×3): tiles of `M` by `M` pixels of the output, from `N = M + 2` of the input.
///
/// # Safety
///
/// Of every function: as of [`Width`]'s.
pub(super) trait Tile<const M: usize, const N: usize> {
    /// The columns of a row of the input's tiles, from each quad's first number on.
    unsafe fn load_input<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [W::Vector; N];
    /// The columns of a row of tiles.
    unsafe fn load<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [W::Vector; M];
    /// The opposite of [`Tile::load`].
    unsafe fn store<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*mut f32; QUADS],
        columns: [W::Vector; M],
    );

    /// `Bᵀ d`
    unsafe fn input<W: Width<B>, const B: usize>(d: [W::Vector; N]) -> [W::Vector; N];
    /// `Aᵀ m`
    unsafe fn output<W: Width<B>, const B: usize>(m: [W::Vector; N]) -> [W::Vector; M];
    /// `A y`
    unsafe fn gradient<W: Width<B>, const B: usize>(y: [W::Vector; M]) -> [W::Vector; N];

    /// `G g`
    unsafe fn kernel<W: Width<B>, const B: usize>(g: [W::Vector; 3]) -> [W::Vector; N];
    /// `Gᵀ u`, for `L` kernels side by side.
    fn kernel_back<const L: usize>(u: [&[f32; L]; N]) -> [[f32; L]; 3];
}

/// Quads of a row further on; the last channel's may leave the buffer, and are not used.
#[inline(always)]
pub(super) fn shifted(mut quads: [*const f32; QUADS], offset: usize) -> [*const f32; QUADS] {
    for quad in &mut quads {
        *quad = quad.wrapping_add(offset);
    }
    quads
}

/// `a x + y`
///
/// # Safety
///
/// As of [`Width`]'s functions.
#[inline(always)]
unsafe fn times<W: Width<B>, const B: usize>(a: f32, x: W::Vector, y: W::Vector) -> W::Vector {
    // SAFETY: passed on to the caller.
    unsafe { W::fma(W::splat(a), x, y) }
}

/// The [`Tile`] of `M` by `M` pixels.
pub(super) struct Size<const M: usize>;

/// F(2×2, 3×3), of the points 0, 1, −1 and ∞. A quad is two tiles.
// SAFETY of all that follows: passed on to the trait's callers.
#[expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]
impl Tile<2, 4> for Size<2> {
    #[inline(always)]
    unsafe fn load_input<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [W::Vector; 4] {
        unsafe {
            let [d0, d1] = W::split(W::load_quads::<NEAR, 2>(quads));
            let [d2, d3] = W::split(W::load_quads::<NEAR, 2>(&shifted(*quads, 2)));
            [d0, d1, d2, d3]
        }
    }

    #[inline(always)]
    unsafe fn load<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [W::Vector; 2] {
        unsafe { W::split(W::load_quads::<NEAR, 2>(quads)) }
    }

    #[inline(always)]
    unsafe fn store<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*mut f32; QUADS],
        columns: [W::Vector; 2],
    ) {
        unsafe { W::store_quads::<NEAR, 2>(quads, W::weave(columns)) }
    }

    #[inline(always)]
    unsafe fn input<W: Width<B>, const B: usize>(
        [d0, d1, d2, d3]: [W::Vector; 4],
    ) -> [W::Vector; 4] {
        unsafe { [W::sub(d0, d2), W::add(d1, d2), W::sub(d2, d1), W::sub(d1, d3)] }
    }

    #[inline(always)]
    unsafe fn output<W: Width<B>, const B: usize>(
        [m0, m1, m2, m3]: [W::Vector; 4],
    ) -> [W::Vector; 2] {
        unsafe { [W::add(m0, W::add(m1, m2)), W::sub(W::sub(m1, m2), m3)] }
    }

    #[inline(always)]
    unsafe fn gradient<W: Width<B>, const B: usize>([y0, y1]: [W::Vector; 2]) -> [W::Vector; 4] {
        unsafe { [y0, W::add(y0, y1), W::sub(y0, y1), W::sub(W::splat(0.0), y1)] }
    }

    #[inline(always)]
    unsafe fn kernel<W: Width<B>, const B: usize>([a, b, c]: [W::Vector; 3]) -> [W::Vector; 4] {
        unsafe {
            let outer = times::<W, B>(0.5, W::add(a, c), W::splat(0.0));
            [a, times::<W, B>(0.5, b, outer), times::<W, B>(-0.5, b, outer), c]
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

/// The points of F(4×4, 3×3) but 0 and ∞, and their powers.
const P: f32 = 2.0 / 3.0;
const P2: f32 = 4.0 / 9.0;
const P3: f32 = 8.0 / 27.0;
const Q: f32 = 3.0 / 2.0;
const Q2: f32 = 9.0 / 4.0;
const Q3: f32 = 27.0 / 8.0;
/// `P² + Q²`, where `P Q` is 1.
const SUM: f32 = 97.0 / 36.0;

/// F(4×4, 3×3), of the points 0, ±2/3, ±3/2 and ∞. A quad is a row of one tile.
// SAFETY of all that follows: passed on to the trait's callers.
#[expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]
impl Tile<4, 6> for Size<4> {
    #[inline(always)]
    unsafe fn load_input<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [W::Vector; 6] {
        unsafe {
            let [d0, d1, d2, d3] = W::transpose(W::load_quads::<NEAR, 4>(quads));
            let [d4, d5, ..] = W::transpose(W::load_quads::<NEAR, 4>(&shifted(*quads, 4)));
            [d0, d1, d2, d3, d4, d5]
        }
    }

    #[inline(always)]
    unsafe fn load<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*const f32; QUADS],
    ) -> [W::Vector; 4] {
        unsafe { W::transpose(W::load_quads::<NEAR, 4>(quads)) }
    }

    #[inline(always)]
    unsafe fn store<W: Width<B>, const B: usize, const NEAR: usize>(
        quads: &[*mut f32; QUADS],
        columns: [W::Vector; 4],
    ) {
        unsafe { W::store_quads::<NEAR, 4>(quads, W::transpose(columns)) }
    }

    #[inline(always)]
    unsafe fn input<W: Width<B>, const B: usize>(
        [d0, d1, d2, d3, d4, d5]: [W::Vector; 6],
    ) -> [W::Vector; 6] {
        unsafe {
            let (even_p, odd_p) = (times::<W, B>(-Q2, d2, d4), times::<W, B>(-Q2, d1, d3));
            let (even_q, odd_q) = (times::<W, B>(-P2, d2, d4), times::<W, B>(-P2, d1, d3));
            [
                times::<W, B>(-SUM, d2, W::add(d0, d4)),
                times::<W, B>(P, odd_p, even_p),
                times::<W, B>(-P, odd_p, even_p),
                times::<W, B>(Q, odd_q, even_q),
                times::<W, B>(-Q, odd_q, even_q),
                times::<W, B>(-SUM, d3, W::add(d1, d5)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<W: Width<B>, const B: usize>(
        [m0, m1, m2, m3, m4, m5]: [W::Vector; 6],
    ) -> [W::Vector; 4] {
        unsafe {
            let (even_p, odd_p) = (W::add(m1, m2), W::sub(m1, m2));
            let (even_q, odd_q) = (W::add(m3, m4), W::sub(m3, m4));
            let zero = W::splat(0.0);
            [
                W::add(m0, W::add(even_p, even_q)),
                times::<W, B>(P, odd_p, times::<W, B>(Q, odd_q, zero)),
                times::<W, B>(P2, even_p, times::<W, B>(Q2, even_q, zero)),
                times::<W, B>(P3, odd_p, times::<W, B>(Q3, odd_q, m5)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn gradient<W: Width<B>, const B: usize>(
        [y0, y1, y2, y3]: [W::Vector; 4],
    ) -> [W::Vector; 6] {
        unsafe {
            let (even_p, odd_p) = (times::<W, B>(P2, y2, y0), times::<W, B>(P2, y3, y1));
            let (even_q, odd_q) = (times::<W, B>(Q2, y2, y0), times::<W, B>(Q2, y3, y1));
            [
                y0,
                times::<W, B>(P, odd_p, even_p),
                times::<W, B>(-P, odd_p, even_p),
                times::<W, B>(Q, odd_q, even_q),
                times::<W, B>(-Q, odd_q, even_q),
                y3,
            ]
        }
    }

    #[inline(always)]
    unsafe fn kernel<W: Width<B>, const B: usize>([a, b, c]: [W::Vector; 3]) -> [W::Vector; 6] {
        unsafe {
            let zero = W::splat(0.0);
            let outer_p = times::<W, B>(-81.0 / 130.0, a, times::<W, B>(-18.0 / 65.0, c, zero));
            let outer_q = times::<W, B>(8.0 / 65.0, a, times::<W, B>(18.0 / 65.0, c, zero));
            [
                a,
                times::<W, B>(-27.0 / 65.0, b, outer_p),
                times::<W, B>(27.0 / 65.0, b, outer_p),
                times::<W, B>(12.0 / 65.0, b, outer_q),
                times::<W, B>(-12.0 / 65.0, b, outer_q),
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
