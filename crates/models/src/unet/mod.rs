//! EDM's two U-Nets: DDPM++/NCSN++ ([`song`]) and ADM ([`dhariwal`]).
//!
//! Both map the preconditioned image and the noise embedding's input to the raw output `F`
//! (Karras et al. 2022, arXiv:2206.00364, Eq. 7); [`crate::edm::precond`] makes a denoiser of it.
//! Tensor names are those of the EDM code base, so that its weights map one to one. Nothing here
//! chooses a precision: weights, images and noise levels share one.

mod attention;
mod block;
mod conditioning;
pub mod config;
pub(crate) mod conv;
pub mod dhariwal;
pub(crate) mod embedding;
pub mod song;
mod style;

use kernels::tape::Value;

/// What a U-Net computes from the same pass.
pub(crate) struct Output {
    /// The raw output `F`: `[B, C, H, W]`.
    pub raw: Value,
    /// The activation of the last encoder block: `[B, C', h, w]`.
    pub bottleneck: Value,
}

/// Sizes that both architectures need beside their own options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub resolution: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    pub label_dim: usize,
    pub augment_dim: usize,
}
