//! What the convolution's kernels are written in: vectors of one width.
//!
//! A kernel is one generic body, marked `#[inline(always)]`, that [`compile_for_width!`] compiles
//! for each implementation of [`Width`] with the instructions that it needs.

/// Vectors of pixels in a full tile of sums.
pub(crate) const VECTORS: usize = 3;
/// Groups of four neighbours in a row, of which four of the widest vectors hold so many.
pub(crate) const QUADS: usize = 16;

/// Vectors of `LANES` numbers, and tiles of sums of `B` output channels by [`VECTORS`] vectors,
/// which fill the registers. A value is the proof that this processor has the instructions.
///
/// # Safety
///
/// Of every function: it is called where a value of the type exists, from code compiled by
/// [`compile_for_width!`]; what is loaded is readable and what is stored writable.
pub(crate) trait Width<const B: usize>: Copy + Send + Sync {
    /// A register.
    type Vector: Copy;
    /// Numbers of a vector.
    const LANES: usize;

    unsafe fn splat(x: f32) -> Self::Vector;
    unsafe fn load(at: *const f32) -> Self::Vector;
    /// The first `lanes` numbers, then zeros.
    unsafe fn load_first(at: *const f32, lanes: usize) -> Self::Vector;
    unsafe fn store(at: *mut f32, v: Self::Vector);
    /// Writes the first `lanes` numbers.
    unsafe fn store_first(at: *mut f32, lanes: usize, v: Self::Vector);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a b + c`
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `N` vectors of the first `N · LANES / 4` quads, of which every `NEAR`, 1, 2 or 4, follow
    /// right on each other.
    unsafe fn load_quads<const NEAR: usize, const N: usize>(
        quads: &[*const f32; QUADS],
    ) -> [Self::Vector; N];
    /// The opposite of [`Self::load_quads`].
    unsafe fn store_quads<const NEAR: usize, const N: usize>(
        quads: &[*mut f32; QUADS],
        v: [Self::Vector; N],
    );
    /// The even and the odd numbers of two vectors, in an order that [`Self::weave`] undoes.
    unsafe fn split(v: [Self::Vector; 2]) -> [Self::Vector; 2];
    /// The opposite of [`Self::split`].
    unsafe fn weave(even_odd: [Self::Vector; 2]) -> [Self::Vector; 2];
    /// The first, second, third and fourth numbers of all quads of four vectors, in an order that
    /// the same function undoes.
    unsafe fn transpose(v: [Self::Vector; 4]) -> [Self::Vector; 4];

    /// The sum of each vector's numbers.
    unsafe fn totals(v: &[Self::Vector; B]) -> [f32; B];

    /// `acc[q][r] += grads[r · stride + t] x[q][t]` for all vectors `t` of a [`Run`], lane by lane.
    unsafe fn multiply(
        acc: &mut [[Self::Vector; B]; VECTORS],
        grads: *const f32,
        stride: usize,
        x: [*const f32; VECTORS],
        run: Run,
    );

    /// `acc[r][q] += Σ weights[c, u, v, r] · x[q][c, u, v..v + LANES]` for a kernel of `K` by `K`,
    /// 1 or 3: `weights` holds `channels · K² · B` numbers.
    unsafe fn accumulate<const K: usize>(
        acc: &mut [[Self::Vector; VECTORS]; B],
        weights: *const f32,
        x: [*const f32; VECTORS],
        sum: Sum,
    );
}

/// Rows of vectors.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) rows: usize,
    /// Vectors of a row.
    pub(crate) vectors: usize,
    /// Numbers from the end of a row to the start of the next, of the gradient and of `x`.
    pub(crate) gaps: [usize; 2],
}

/// What a tile sums over.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    /// Input channels.
    pub(crate) channels: usize,
    /// Numbers from a channel to the next.
    pub(crate) channel_stride: usize,
    /// Numbers from an image row to the next.
    pub(crate) row_stride: usize,
}

/// [`Width::accumulate`] of any number of vectors, in the same order of operations.
///
/// # Safety
///
/// As there.
#[inline(always)]
pub(crate) unsafe fn accumulate<W: Width<B>, const B: usize, const K: usize, const N: usize>(
    acc: &mut [[W::Vector; N]; B],
    mut weights: *const f32,
    x: [*const f32; N],
    sum: Sum,
) {
    let mut a = *acc;
    let mut channels = x;
    // SAFETY: the caller vouches for all reads; the last increments may leave the buffers but are
    // not read through, hence `wrapping_add`.
    unsafe {
        for _ in 0..sum.channels {
            let mut rows = channels;
            for _ in 0..K {
                for v in 0..K {
                    let mut pixels = [W::splat(0.0); N];
                    for (pixels, row) in pixels.iter_mut().zip(rows) {
                        *pixels = W::load(row.add(v));
                    }
                    for (r, a) in a.iter_mut().enumerate() {
                        let weight = W::splat(*weights.add(r));
                        for (a, pixels) in a.iter_mut().zip(pixels) {
                            *a = W::fma(weight, pixels, *a);
                        }
                    }
                    weights = weights.wrapping_add(B);
                }
                for row in &mut rows {
                    *row = row.wrapping_add(sum.row_stride);
                }
            }
            for channel in &mut channels {
                *channel = channel.wrapping_add(sum.channel_stride);
            }
        }
    }
    *acc = a;
}

/// Defines `unsafe fn $name::<W, B, ...>(...)`, which runs `$body::<W, B, ...>(...)` compiled for
/// the width `W`. The body must be `#[inline(always)]`; it may ask for one bound on its constants.
///
/// Its safety is that of the body: a value of `W` says that the instructions are there.
macro_rules! compile_for_width {
    ($(#[$meta:meta])* $vis:vis
     unsafe fn $name:ident $(<$(const $c:ident: $cty:ty),+>)?
     ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?
     $(where $bounded:ty: $bound:path)? = $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name<W: $crate::conv2d::x86::vector::Width<B>, const B: usize
                             $($(, const $c: $cty)+)?>($($arg: $ty),*) $(-> $ret)?
        $(where $bounded: $bound)?
        {
            #[target_feature(enable = "avx512f,avx2,fma")]
            unsafe fn avx512<$($(const $c: $cty),+)?>($($arg: $ty),*) $(-> $ret)?
            $(where $bounded: $bound)?
            {
                // SAFETY: passed on to the caller.
                unsafe { $body::<$crate::isa::Avx512, 8 $($(, $c)+)?>($($arg),*) }
            }
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2<$($(const $c: $cty),+)?>($($arg: $ty),*) $(-> $ret)?
            $(where $bounded: $bound)?
            {
                // SAFETY: passed on to the caller.
                unsafe { $body::<$crate::isa::Avx2Fma, 4 $($(, $c)+)?>($($arg),*) }
            }
            // SAFETY: the caller vouches for the arguments, and has a `W`.
            unsafe {
                match W::LANES {
                    16 => avx512::<$($($c),+)?>($($arg),*),
                    _ => avx2::<$($($c),+)?>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use compile_for_width;
