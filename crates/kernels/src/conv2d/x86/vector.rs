//! The vector instructions that the kernels of this folder are written in.
//!
//! A kernel is one generic function over [`Vector`], marked `#[inline(always)]`. The macro
//! [`compile_for_width!`] compiles it for every implementation, with the instructions that it
//! needs.

use super::run::Run;

/// Vectors of pixels in a full tile of sums.
pub(crate) const VECTORS: usize = 3;
/// Groups of four adjacent elements, *quads*, that four of the widest vectors hold.
pub(crate) const QUADS: usize = 16;

/// Control bytes of the shuffles that select the even and the odd elements of two vectors.
pub(super) const EVEN: i32 = 0b10_00_10_00;
pub(super) const ODD: i32 = 0b11_01_11_01;
/// Control bytes of the shuffles that select the lower and the upper half of every quad.
pub(super) const LOW: i32 = 0b01_00_01_00;
pub(super) const HIGH: i32 = 0b11_10_11_10;

/// Vectors of `LANES` elements, implemented by the proof that the processor has their instructions.
///
/// A tile of sums has `B` output channels by [`VECTORS`] vectors, which fill the registers.
///
/// # Safety
///
/// This holds for every function: a value of the type exists, the function is called from code
/// compiled by [`compile_for_width!`], loads are from readable and stores to writable memory.
pub(crate) trait Vector<const B: usize>: Copy + Send + Sync {
    /// A register.
    type Register: Copy;
    /// Elements of a vector.
    const LANES: usize;

    unsafe fn splat(x: f32) -> Self::Register;
    unsafe fn load(at: *const f32) -> Self::Register;
    /// Loads the first `lanes` elements; the others are zero.
    unsafe fn load_first(at: *const f32, lanes: usize) -> Self::Register;
    unsafe fn store(at: *mut f32, v: Self::Register);
    /// Stores the first `lanes` elements.
    unsafe fn store_first(at: *mut f32, lanes: usize, v: Self::Register);
    unsafe fn add(a: Self::Register, b: Self::Register) -> Self::Register;
    unsafe fn sub(a: Self::Register, b: Self::Register) -> Self::Register;
    /// `a b + c`, rounded once.
    unsafe fn fma(a: Self::Register, b: Self::Register, c: Self::Register) -> Self::Register;

    /// Returns `v`, and keeps the compiler from moving memory accesses across the call.
    ///
    /// No instruction results. Without it the compiler loads operands early, runs out of registers
    /// and spills the sums (see [`super::sums`]).
    unsafe fn hold(v: Self::Register) -> Self::Register;

    /// Loads one vector of quads, starting at quad `first`. Every `NEAR` quads (1, 2 or 4) are
    /// adjacent in memory.
    unsafe fn load_near<const NEAR: usize>(
        quads: &[*const f32; QUADS],
        first: usize,
    ) -> Self::Register;
    /// Inverse of [`Self::load_near`].
    unsafe fn store_near<const NEAR: usize>(
        quads: &[*mut f32; QUADS],
        first: usize,
        v: Self::Register,
    );
    /// Separates two vectors into their even and their odd elements, in an order that
    /// [`Self::weave`] undoes.
    unsafe fn split(v: [Self::Register; 2]) -> [Self::Register; 2];
    /// Inverse of [`Self::split`].
    unsafe fn weave(even_odd: [Self::Register; 2]) -> [Self::Register; 2];
    /// Separates four vectors into the first, second, third and fourth elements of all quads, in an
    /// order that the same function undoes.
    unsafe fn transpose(v: [Self::Register; 4]) -> [Self::Register; 4];

    /// [`multiply`](super::sums::multiply), or the same in assembly where the compiler spills sums.
    unsafe fn multiply(
        acc: &mut [[Self::Register; B]; VECTORS],
        grads: *const f32,
        stride: usize,
        x: [*const f32; VECTORS],
        run: Run,
    );

    /// Sum over the elements of each vector.
    unsafe fn totals(v: &[Self::Register; B]) -> [f32; B];

    /// Loads `N` vectors of quads; see [`Self::load_near`].
    #[inline(always)]
    unsafe fn load_quads<const NEAR: usize, const N: usize>(
        quads: &[*const f32; QUADS],
    ) -> [Self::Register; N] {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut vectors = [Self::splat(0.0); N];
            for (i, v) in vectors.iter_mut().enumerate() {
                *v = Self::load_near::<NEAR>(quads, i * (Self::LANES / 4));
            }
            vectors
        }
    }

    /// Inverse of [`Self::load_quads`].
    #[inline(always)]
    unsafe fn store_quads<const NEAR: usize, const N: usize>(
        quads: &[*mut f32; QUADS],
        v: [Self::Register; N],
    ) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: passed on to the caller.
            unsafe { Self::store_near::<NEAR>(quads, i * (Self::LANES / 4), v) }
        }
    }
}

/// Defines `unsafe fn $name::<V, B, ...>(...)`, which runs `$body::<V, B, ...>(...)` compiled for
/// the vectors `V`. The body must be `#[inline(always)]`; it may have one bound on its constants.
///
/// The function is as safe as its body: a value of `V` proves that the instructions exist.
macro_rules! compile_for_width {
    ($(#[$meta:meta])* $vis:vis
     unsafe fn $name:ident $(<$(const $c:ident: $cty:ty),+>)?
     ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?
     $(where $bounded:ty: $bound:path)? = $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name<V: $crate::conv2d::x86::vector::Vector<B>, const B: usize
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
            // SAFETY: the caller vouches for the arguments, and has a `V`.
            unsafe {
                match V::LANES {
                    16 => avx512::<$($($c),+)?>($($arg),*),
                    _ => avx2::<$($($c),+)?>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use compile_for_width;
