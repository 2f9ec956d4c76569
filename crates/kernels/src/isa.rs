//! Instruction sets of the CPU kernels, detected at run time.

use std::sync::OnceLock;

use super::runtime::{Kernels, kernels};

/// Proof that this processor has AVX2 and FMA. Only [`Isa::detect`] and [`Isa::all`] create it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2Fma(());

/// Proof that this processor has AVX-512F, AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof for AVX2 and FMA, which is included.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn narrower(self) -> Avx2Fma {
        Avx2Fma(())
    }
}

/// Instruction set that a kernel is compiled for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Isa {
    /// Instructions of every processor.
    Portable,
    /// Vectors of eight elements.
    Avx2Fma(Avx2Fma),
    /// Vectors of sixteen elements.
    Avx512(Avx512),
}

impl Isa {
    /// The best instruction set of this processor that [`Kernels`] allows.
    pub(super) fn detect() -> Self {
        let best = Self::best();
        match (kernels(), best) {
            (Kernels::Best, _) => best,
            (Kernels::Avx2, Self::Avx512(_)) => Self::Avx2Fma(Avx2Fma(())),
            (Kernels::Avx2, _) => best,
            (Kernels::Portable | Kernels::Off, _) => Self::Portable,
        }
    }

    /// All instruction sets of this processor, for tests.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        match Self::best() {
            Self::Portable => vec![Self::Portable],
            it @ Self::Avx2Fma(_) => vec![Self::Portable, it],
            it @ Self::Avx512(_) => vec![Self::Portable, Self::Avx2Fma(Avx2Fma(())), it],
        }
    }

    fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return if is_x86_feature_detected!("avx512f") {
                    Self::Avx512(Avx512(()))
                } else {
                    Self::Avx2Fma(Avx2Fma(()))
                };
            }
            Self::Portable
        })
    }
}

/// Defines `$name(isa, ...)`, which runs `$body::<FMA>(...)` compiled for the given [`Isa`].
///
/// The body is written once, as plain loops that the compiler vectorizes, and must be
/// `#[inline(always)]` to be compiled again with wider vectors and fused multiply-adds.
macro_rules! compile_for_isa {
    ($(#[$meta:meta])* $vis:vis
     fn $name:ident $(<const $n:ident: usize>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name$(<const $n: usize>)?(isa: $crate::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn compiled_for_avx512$(<const $n: usize>)?($($arg: $ty),*) $(-> $ret)? {
                    $body::<true $(, $n)?>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn compiled_for_avx2_fma$(<const $n: usize>)?($($arg: $ty),*) $(-> $ret)? {
                    $body::<true $(, $n)?>($($arg),*)
                }
                match isa {
                    $crate::isa::Isa::Avx512(_) => {
                        // SAFETY: the proof in `isa` shows that the processor has the features.
                        return unsafe { compiled_for_avx512$(::<$n>)?($($arg),*) };
                    }
                    $crate::isa::Isa::Avx2Fma(_) => {
                        // SAFETY: as above.
                        return unsafe { compiled_for_avx2_fma$(::<$n>)?($($arg),*) };
                    }
                    $crate::isa::Isa::Portable => {}
                }
            }
            let _ = isa;
            $body::<false $(, $n)?>($($arg),*)
        }
    };
}
pub(super) use compile_for_isa;
