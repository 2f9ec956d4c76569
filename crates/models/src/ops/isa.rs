//! Which instructions the kernels may use, found out at run time.

use std::sync::OnceLock;

/// Proof that this processor has AVX2 and FMA: only [`Isa::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2Fma(());

/// The instructions that a kernel is compiled for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Isa(Option<Avx2Fma>);

impl Isa {
    /// What every processor has. Tests force it.
    #[cfg(test)]
    pub(super) const PORTABLE: Self = Self(None);

    /// The best that this processor has.
    pub(super) fn detect() -> Self {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Some(Avx2Fma(())));
            }
            Self(None)
        })
    }

    /// The proof of AVX2 and FMA, if they may be used.
    pub(super) fn avx2_fma(self) -> Option<Avx2Fma> {
        self.0
    }
}

/// Defines `$name(isa, ...)`, which runs `$body::<FMA>(...)` compiled for the given [`Isa`].
///
/// The body is written once, as plain loops that the compiler vectorises, and must be
/// `#[inline(always)]` to be compiled again with wider vectors and fused multiply-adds.
macro_rules! compile_for_isa {
    ($(#[$meta:meta])* $vis:vis
     fn $name:ident $(<const $n:ident: usize>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name$(<const $n: usize>)?(isa: $crate::ops::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            if isa.avx2_fma().is_some() {
                #[target_feature(enable = "avx2,fma")]
                fn compiled_for_avx2_fma$(<const $n: usize>)?($($arg: $ty),*) $(-> $ret)? {
                    $body::<true $(, $n)?>($($arg),*)
                }
                // SAFETY: the proof in `isa` says that the processor has both features.
                return unsafe { compiled_for_avx2_fma$(::<$n>)?($($arg),*) };
            }
            let _ = isa;
            $body::<false $(, $n)?>($($arg),*)
        }
    };
}
pub(super) use compile_for_isa;
